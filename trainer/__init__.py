"""Training program: reads the streamed RU/EN corpus exactly once and resumes exactly."""
