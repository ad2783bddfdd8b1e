"""The stream against its peers: samples a second, resume, faults."""
