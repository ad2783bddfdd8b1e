"""A folder of test data → servers that serve it, and what each costs in CPU and memory (Linux)."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.machine import find_nginx

ROOT: Final = Path(__file__).parents[2]
NGINX: Final = ("nginx", "plain nginx")
SETTINGS: Final = {
    "dataservice": "`dataservice serve`, one process",
    "staticfiles": "Starlette's `StaticFiles`, Uvicorn, both as they come, one process",
    "route": "a Starlette route that answers with bytes in memory, Uvicorn, one process",
    "nginx": "[docker/nginx.conf](../docker/nginx.conf), one worker",
    "plain nginx": "nginx with `sendfile`, `tcp_nopush` and a `root`, nothing else, one worker",
}
_NOBODY_LISTENS: Final = "127.0.0.1:9"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True)
class ServedFiles:
    """A store, and the paths that are asked for."""

    folder: Path
    blobs: dict[int, list[str]]
    """Size in bytes → URL paths."""
    manifests: dict[int, str]
    """Nominal size in bytes → version."""

    def manifest_path(self, size: int) -> str:
        return f"/datasets/demo/versions/{self.manifests[size]}/manifest.json"


def make_data(folder: Path, blobs: dict[int, int], manifests: list[int]) -> ServedFiles:
    """Write random blobs (size → how many) and manifests into a store below `folder`."""
    store, bare = folder / "datasets", folder / "bare"
    (store / "blobs").mkdir(parents=True)
    bare.mkdir()
    data = ServedFiles(folder, {size: [] for size in blobs}, {})
    for size, number in blobs.items():
        for _ in range(number):
            content = os.urandom(size)
            name = f"{hashlib.sha256(content).hexdigest()}.tar.zst"
            (store / "blobs" / name).write_bytes(content)
            data.blobs[size].append(f"/datasets/blobs/{name}")
    for size in manifests:
        content = json.dumps({"filler": os.urandom(size // 2).hex()}).encode()
        version = hashlib.sha256(content).hexdigest()
        path = store / "demo" / "versions" / version / "manifest.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        (bare / f"{version}.json").write_bytes(content)
        data.manifests[size] = version
    (store / "demo" / "latest.json").write_text(json.dumps({"version": version}))
    return data


@dataclass
class Server:
    """A running server: its port, and the processes that belong to it."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        """The process and its children; the counts of both are taken together."""
        found = [self.process.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found.extend(map(int, children))
        return found

    def cpu_s(self) -> float:
        """Seconds of CPU used so far, in user and kernel."""
        used = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
        return used / _TICKS

    def resident_bytes(self) -> int:
        """Memory in RAM now; pages that processes share count for each."""
        sizes = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in self.pids())
        return sum(map(int, sizes)) * _PAGE


def front_config(data: ServedFiles, port: int) -> str:
    """docker/nginx.conf for this folder, with one process as the other servers have.

    No service is behind it, so that every answer is its own.
    """
    text = (ROOT / "docker" / "nginx.conf").read_text(encoding="utf-8")
    for old, new in (
        ("root /srv/data;", f"root {data.folder};"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("dataservice:8000", _NOBODY_LISTENS),
        ("/tmp/nginx", f"{data.folder}/nginx"),
        ("worker_processes auto;", f"worker_processes 1; {_as_caller()}"),
    ):
        if old not in text:
            raise RuntimeError(f"docker/nginx.conf has no {old!r} to replace; mend this benchmark")
        text = text.replace(old, new)
    return text


def plain_config(data: ServedFiles, port: int) -> str:
    """The least that makes nginx send files of this folder by sendfile."""
    return f"""
daemon off; pid {data.folder}/plain.pid; worker_processes 1; {_as_caller()}
events {{ }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {data.folder}/plain-body;
    server {{ listen 127.0.0.1:{port}; root {data.folder}; }}
}}
"""


def _as_caller() -> str:
    """Started by root, nginx reads as another user, to whom a temporary folder is closed."""
    return "user root;" if os.geteuid() == 0 else ""


@contextmanager
def running(data: ServedFiles, *, with_nginx: bool) -> Iterator[dict[str, Server]]:
    """All servers over one folder, at once; stopped at the end."""
    names = [name for name in SETTINGS if with_nginx or name not in NGINX]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    ours = ("DATASERVICE_", "UVICORN_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    servers: dict[str, Server] = {}
    try:
        for name, port in ports.items():
            process = subprocess.Popen(
                _command(name, data, port), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
            )
            servers[name] = Server(name, port, process)
        for server in servers.values():
            _wait(server)
        yield servers
    finally:
        for server in servers.values():
            server.process.terminate()
        for server in servers.values():
            server.process.wait(30)


def _command(name: str, data: ServedFiles, port: int) -> list[str]:
    """What starts a server; the service says where it listens on stderr, like the others."""
    if name in NGINX:
        config = data.folder / f"{name.replace(' ', '-')}.conf"
        config.write_text({"nginx": front_config, "plain nginx": plain_config}[name](data, port))
        return [find_nginx() or "nginx", "-e", "stderr", "-c", str(config)]
    if name == "dataservice":
        folder = ["--data-dir", str(data.folder), "--no-build-on-start"]
        return [sys.executable, "-m", "dataservice", "serve", *folder, "--port", str(port)]
    kind, folder_of_peer = {"staticfiles": ("static", "datasets"), "route": ("route", "bare")}[name]
    peers = str(Path(__file__).with_name("peers.py"))
    return [sys.executable, peers, kind, str(data.folder / folder_of_peer), str(port)]


def check(server: Server, paths: Iterable[str]) -> None:
    """Get each path once: every server sends the bytes that the path names by their sha256.

    Raises:
        RuntimeError: when it does not.
    """
    for path in paths:
        url = f"http://127.0.0.1:{server.port}{path}"
        with urllib.request.urlopen(url, timeout=60) as response:
            got = hashlib.sha256(response.read()).hexdigest()
        if got not in path:
            raise RuntimeError(
                f"{server.name} answered {path} with bytes of sha256 {got}, so it is not measured; "
                "mend this benchmark"
            )


def _free_ports(number: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _wait(server: Server) -> None:
    deadline = time.monotonic() + 60
    while True:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended at once; its message is above")
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
