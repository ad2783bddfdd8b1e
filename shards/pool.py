"""A thread's patience → HTTP connections, kept alive and shared, that no byte outlasts.

A socket's timeout begins anew with every byte. So a server that sends one now and then, of a body,
of a header or of a chunk's size, would hold its reader for ever.
"""

import http.client
import io
import math
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Retry

_KEPT_CONNECTIONS: Final = 16


class Patience(threading.local):
    """Until when the thread that asks waits for bytes; for ever if nothing is set."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.ends_at = math.inf

    @property
    def left_s(self) -> float:
        return self.ends_at - self._clock()


class _PatientBytes(io.RawIOBase):
    """What comes on a socket; a TimeoutError where it does not come in time."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._patience = patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._patience.left_s
        if left_s <= 0:
            raise TimeoutError("timed out")
        timeout_s = self._socket.gettimeout()
        self._socket.settimeout(left_s if timeout_s is None else min(left_s, timeout_s))
        try:
            return self._raw.readinto(buffer)
        finally:
            self._socket.settimeout(timeout_s)

    def close(self) -> None:
        self._raw.close()
        super().close()


def patient_pool(patience: Patience) -> urllib3.PoolManager:
    """Connections for any number of threads, each as patient as the thread that uses it.

    Redirects are followed, nothing else is tried again.
    """

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
            super().__init__(sock, *arguments, **options)
            self.fp.close()
            self.fp = io.BufferedReader(_PatientBytes(sock, patience))

    class Plain(HTTPConnection):
        response_class = Response

    class Secure(HTTPSConnection):
        response_class = Response

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    retries = Retry(total=5, connect=0, read=0, status=0, other=0, respect_retry_after_header=False)
    pool = urllib3.PoolManager(maxsize=_KEPT_CONNECTIONS, retries=retries)
    pool.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pool
