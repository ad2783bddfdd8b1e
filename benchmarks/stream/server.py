"""A folder → the same files over loopback HTTP for every system: by nginx, and by our service."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.machine import find_nginx

_NGINX: Final = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
  log_format sent '$body_bytes_sent'; access_log {folder}/access.log sent;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
_START_S: Final = 60.0
_STOP_S: Final = 20.0


class Server:
    """A running file server."""

    def __init__(self, port: int, log: Path | None = None) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    def bytes_sent(self) -> int:
        """Of all bodies so far; 0 for a server that does not tell."""
        if self._log is None or not self._log.exists():
            return 0
        return sum(map(int, self._log.read_text(encoding="utf-8").split()))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serve_folder(root: Path, core: int) -> Iterator[Server]:
    """Serve a folder from one core, in a process of its own."""
    port, nginx = _free_port(), find_nginx()
    assert nginx is not None, "looked for before anything was measured"
    with tempfile.TemporaryDirectory(prefix="bench-server-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, port=port, root=root.resolve()))
        command = [nginx, "-e", f"{folder}/error.log", "-c", str(config)]
        if os.geteuid() == 0:  # else its worker could not read what root wrote
            command += ["-g", "user root;"]
        with _running(["taskset", "-c", str(core), *command], port):
            yield Server(port, folder / "access.log")


@contextmanager
def serve_dataservice(data_dir: Path, core: int | None) -> Iterator[Server]:
    """Our own service over its data folder, on one core or on all."""
    port = _free_port()
    program = [sys.executable, "-m", "dataservice", "serve", "--data-dir", str(data_dir)]
    command = [*program, "--no-build-on-start", "--port", str(port)]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    with _running(command, port):
        yield Server(port)


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    """A process that listens on a port, for as long as it is needed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command} does not listen on port {port}") from error
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(_STOP_S)
