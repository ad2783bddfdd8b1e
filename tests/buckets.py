"""Buckets to read and write: moto's S3 server in a process of its own, and what reaches it."""

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class S3:
    """A running server: its URL, and plain requests to it, past any library."""

    url: str

    def make(self, bucket: str) -> None:
        self.ask("PUT", bucket)

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url}/{path}", data=body, method=method)
        # as a signed request would, which moto tells from an anonymous one by this header alone
        request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/1/us-east-1/s3/aws4")
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=30) as response:
            data: bytes = response.read()
            return data

    def fill(self, bucket: str, folder: Path, prefix: str = "") -> None:
        """Copy a store's files into a bucket."""
        for path in folder.rglob("*"):
            if path.is_file():
                key = f"{prefix}{path.relative_to(folder)}"
                self.ask("PUT", f"{bucket}/{key}", path.read_bytes())


@contextlib.contextmanager
def s3_server() -> Iterator[S3]:
    """Start moto's server; it ends with the block, or with this process."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        assert port.isdigit(), "moto's server did not start"
        yield S3(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def use_s3(patch: pytest.MonkeyPatch, url: str) -> None:
    """What a user sets to reach an S3-compatible endpoint."""
    patch.setenv("AWS_ENDPOINT_URL", url)
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    patch.setenv("AWS_REGION", "us-east-1")
