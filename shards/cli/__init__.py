"""Manners that both command lines share: settings as options, errors as one line, progress."""
