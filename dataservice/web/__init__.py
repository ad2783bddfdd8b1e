"""The store and the jobs → HTTP: files, JSON pages, and requests to build."""
