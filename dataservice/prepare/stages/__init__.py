"""The stages of a build, as the driver goes through them: units for the engine, results summed."""
