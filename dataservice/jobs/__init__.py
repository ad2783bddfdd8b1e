"""Requests to build → jobs: one at a time, each in its own process, recorded on disk."""
