"""Plain file servers that know nothing of data sets, and a proxy that cuts what they send."""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.ports import port_of_its_own

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}
http {{
    log_format short '$status $http_range'; access_log {folder}/log short;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    {server}
}}
"""
MINIMAL = "server {{ listen 127.0.0.1:{port}; root {root}; }}"
MANUAL = Path(__file__).parents[2] / "docs" / "service.md"


@contextlib.contextmanager
def serving(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block; it is up when the block begins."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, f"{command} ended with {process.returncode}"
                assert time.monotonic() < deadline, f"{command} did not start"
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def python_server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Python's own file server: no ranges, no ETags, a connection for each file."""
    port = port_of_its_own()
    command = [sys.executable, "-m", "http.server", str(port)]
    command += ["--bind", "127.0.0.1", "--directory", str(folder)]
    with serving(command, port) as process:
        yield f"http://127.0.0.1:{port}", process


@dataclass(frozen=True)
class Nginx:
    url: str
    folder: Path

    def log(self) -> list[str]:
        """Status and Range of each request, once nginx has ended."""
        return (self.folder / "log").read_text().splitlines()


def server_of_the_manual(root: Path, port: int) -> str:
    """The nginx server that docs/service.md shows, at another port and folder."""
    text: str
    (text,) = re.findall(r"```nginx\n(server .*?)```", MANUAL.read_text("utf-8"), re.DOTALL)
    assert text.count("listen 8080;") == text.count("root /srv/data;") == 1
    return text.replace("8080", f"127.0.0.1:{port}").replace("/srv/data;", f"{root};")


@contextlib.contextmanager
def nginx(
    root: Path,
    folder: Path,
    server: Callable[[Path, int], str] = lambda root, port: MINIMAL.format(root=root, port=port),
) -> Iterator[Nginx]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    assert program, "nginx is not installed; this test needs it: apt-get install nginx"
    folder.mkdir()
    port = port_of_its_own()
    text = NGINX.format(folder=folder, server=server(root, port))
    (folder / "conf").write_text(text)
    command = [program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "conf")]
    with serving(command, port):
        yield Nginx(f"http://127.0.0.1:{port}", folder)


@contextlib.contextmanager
def cutting_proxy(port: int, after: int) -> Iterator[str]:
    """Passes connections on to a port; cuts the first answer of more bytes than `after`."""
    cut = threading.Event()

    def pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                passed += len(data)
                if limit is not None and passed > limit and not cut.is_set():
                    cut.set()
                    sink.sendall(data[: limit - passed])
                    break
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                sockets.append(client)
                server = socket.create_connection(("127.0.0.1", port))
                sockets.append(server)
                for pair in ((client, server, None), (server, client, after)):
                    threads.append(threading.Thread(target=pump, args=pair))
                    threads[-1].start()

    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))
    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()  # no connection is added any more
        for one in (listener, *sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in threads:
            thread.join()
    assert cut.is_set(), "nothing was cut"
