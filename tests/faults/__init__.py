"""A whole epoch read over a network that breaks: exact, or one clear error in bounded time."""
