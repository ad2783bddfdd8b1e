"""What a build leaves on disk while it is at work, so that it can go on after a kill."""
