"""Training program: reads a streamed corpus exactly once and resumes exactly."""
