"""Ports of this machine that nobody else gets meanwhile."""

import contextlib
import random
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses every connection: it is taken for as long, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        yield port


def port_of_its_own() -> int:
    """A free port below those that clients are given.

    From among those, a connection to a service that is dead or not up yet, or anybody else's,
    could get its port; then it could not start.
    """
    for port in random.sample(range(15_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("of 100 ports none is free")
