"""A folder → the same files over loopback HTTP for every system: nginx, or aiohttp without it."""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
  log_format sent '$body_bytes_sent $request_uri'; access_log {folder}/access.log sent;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


class Server:
    """A running file server."""

    def __init__(self, port: int, name: str, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.name = name
        self._log = log

    def bytes_sent(self) -> int | None:
        """Of all bodies so far, if the server tells."""
        if not self._log.exists():
            return None
        return sum(int(line.split()[0]) for line in self._log.read_text().splitlines())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serve_folder(root: Path, core: int) -> Iterator[Server]:
    """Serve a folder from one core, in a process of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-server-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        if nginx := shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"):
            config = folder / "nginx.conf"
            config.write_text(_NGINX.format(folder=folder, port=port, root=root.resolve()))
            # the worker may not be root's to read the files
            command = [nginx, "-e", f"{folder}/error.log", "-g", "user root;", "-c", str(config)]
            kind = "nginx"
        else:
            command = [sys.executable, "-m", "aiohttp.web", "-H", "127.0.0.1", "-P", str(port)]
            command += ["benchmarks.stream.server:make_app", str(root)]
            kind = "aiohttp"
        with running(["taskset", "-c", str(core), *command], port):
            yield Server(port, kind, folder / "access.log")


@contextmanager
def serve_dataservice(data_dir: Path, core: int) -> Iterator[Server]:
    """Our own service over the folder of a store."""
    port = free_port()
    program = [sys.executable, "-m", "dataservice", "serve", "--data-dir", str(data_dir)]
    with running(["taskset", "-c", str(core), *program, "--port", str(port)], port):
        yield Server(port, "dataservice serve", Path("/nonexistent"))


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A process that listens on a port, for as long as it is needed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
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
        process.wait(20)


def make_app(arguments: list[str]) -> object:
    """The aiohttp application that stands in for nginx."""
    from aiohttp import web

    app = web.Application()
    app.add_routes([web.static("/", arguments[0])])
    return app
