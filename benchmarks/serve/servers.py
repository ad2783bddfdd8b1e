"""A folder of test data → servers that serve it, and what each costs in CPU and memory (Linux)."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True)
class TestData:
    """A store, and the paths that are asked for."""

    folder: Path
    blobs: dict[int, list[str]]
    """Size in bytes → URL paths."""
    manifests: dict[int, str]
    """Nominal size in bytes → version."""

    def manifest_path(self, size: int) -> str:
        return f"/datasets/demo/versions/{self.manifests[size]}/manifest.json"


def make_data(folder: Path, blobs: dict[int, int], manifests: list[int]) -> TestData:
    """Write random blobs (size → how many) and manifests into a store below `folder`."""
    store, bare = folder / "datasets", folder / "bare"
    (store / "blobs").mkdir(parents=True)
    bare.mkdir()
    data = TestData(folder, {size: [] for size in blobs}, {})
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


def find_nginx() -> str | None:
    """Debian puts nginx where PATH does not always look."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def nginx_config(data: TestData, port: int, service_port: int) -> str:
    """docker/nginx.conf for this folder, with one process as the other servers have."""
    text = (ROOT / "docker" / "nginx.conf").read_text(encoding="utf-8")
    for old, new in (
        (r"root /srv/data;", f"root {data.folder};"),
        (r"listen 8080;", f"listen 127.0.0.1:{port};"),
        (r"dataservice:8000", f"127.0.0.1:{service_port}"),
        (r"/tmp/nginx", f"{data.folder}/nginx"),
        (r"worker_processes auto;", "worker_processes 1;"),
    ):
        text, num_changed = re.subn(re.escape(old), lambda _, new=new: new, text)
        if not num_changed:
            raise RuntimeError(f"docker/nginx.conf has no {old!r} to replace; mend this benchmark")
    return text


@contextmanager
def running(data: TestData, *, with_nginx: bool) -> Iterator[dict[str, Server]]:
    """All servers over one folder, at once; stopped at the end."""
    names = ["staticfiles", "route", "dataservice"] + ["nginx"] * with_nginx
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    peers = [sys.executable, str(Path(__file__).with_name("peers.py"))]
    ours = [sys.executable, "-m", "dataservice", "serve", "--data-dir", str(data.folder)]
    commands: dict[str, list[str]] = {
        "staticfiles": [*peers, "static", str(data.folder / "datasets"), str(ports["staticfiles"])],
        "route": [*peers, "route", str(data.folder / "bare"), str(ports["route"])],
        "dataservice": [*ours, "--port", str(ports["dataservice"])],
    }
    if with_nginx:
        config = data.folder / "nginx.conf"
        config.write_text(nginx_config(data, ports["nginx"], ports["dataservice"]))
        commands["nginx"] = [find_nginx() or "nginx", "-e", "stderr", "-c", str(config)]
    servers: dict[str, Server] = {}
    try:
        for name, command in commands.items():
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
            servers[name] = Server(name, ports[name], process)
        for server in servers.values():
            _wait(server)
        yield servers
    finally:
        for server in servers.values():
            server.process.terminate()
        for server in servers.values():
            server.process.wait(30)


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
