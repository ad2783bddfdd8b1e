"""Fixtures of this room: a small disk that can really fill up, and servers with faults."""

import os
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shards.manifest import BlobInfo
from shards.store import LocalStore
from tests.shards.fault_server import FaultServer, Handler


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Make a tmpfs of the given size in bytes; only root may mount one."""
    if os.geteuid() != 0:
        pytest.skip("a disk that really fills up is a mounted tmpfs; run as root to mount one")
    mounted: list[Path] = []

    def mount(size_bytes: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)], check=True
        )
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


class ObjectHandler(Handler):
    """The part of the three object APIs that a plain GET of a public object needs."""

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        self.path = urllib.parse.unquote(self.path)
        super().do_GET()

    def do_PUT(self) -> None:  # noqa: N802 - the library's name
        """Plain puts alone: the conditional ones are what some servers do not know."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.script.requests.append(self.request_seen())
        if "If-None-Match" in self.headers:
            self.answer(501)
        else:
            self.script.files[urllib.parse.unquote(self.path)] = data
            self.answer(200, ETag='"1"')

    def send_response(self, code: int, message: str | None = None) -> None:
        super().send_response(code, message)
        self.send_header("Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT")


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A server with faults that all three kinds of URL lead to, without credentials."""
    with FaultServer(ObjectHandler) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_SKIP_SIGNATURE": "true",
            "GOOGLE_BASE_URL": server.url,
            "GOOGLE_SKIP_SIGNATURE": "true",
            "AZURE_STORAGE_ENDPOINT": server.url,
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_SKIP_SIGNATURE": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def blob(objects: FaultServer, tmp_path: Path) -> BlobInfo:
    data = bytes(range(256)) * 2000
    info = LocalStore(tmp_path / "blob").put_blob(data, ".tar.zst")
    objects.script.files[f"/bucket/sets/{info.path}"] = data
    return info
