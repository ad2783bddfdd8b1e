"""What has the name of a file and is none, and places that may not be read."""

import os
import socket
from pathlib import Path
from typing import Any

from tests.dataservice.prepare.hostile.case import GOOD, Hostile, Make, file


def no_file(kind: str) -> Make:
    """Something with the name of a file that is none."""

    def make(folder: Path) -> dict[str, Any]:
        path = folder / "c.jsonl"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                here = Path.cwd()
                os.chdir(folder)  # the name of a socket may have 107 bytes
                sock.bind(path.name)
                os.chdir(here)
        elif kind == "loop":
            path.symlink_to(path)
        elif kind == "broken link":
            path.symlink_to(folder / "nowhere")
        elif kind == "link to a device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        elif kind == "below a file":
            path.write_bytes(GOOD)
            return {"path": path / "c.jsonl"}
        return {"path": path}

    return make


def folder_with(name: str) -> Make:
    def make(folder: Path) -> dict[str, Any]:
        (folder / "text").mkdir()
        (folder / "text" / "a.jsonl").write_bytes(GOOD)
        (folder / "text" / name).write_bytes(GOOD)
        return {"path": folder / "text"}

    return make


def at(path: str, **values: Any) -> Make:
    return lambda _: {"path": path, **values}


FILES = (
    Hostile(
        name="a pipe that nobody writes to", make=no_file("pipe"), error="is a pipe, not a file"
    ),
    Hostile(name="a socket", make=no_file("socket"), error="is a socket, not a file"),
    Hostile(
        name="a device that never ends",
        make=at("/dev/zero", format="jsonl"),
        error="is a device, not",
    ),
    Hostile(
        name="a link to such a device", make=no_file("link to a device"), error="is a device, not"
    ),
    Hostile(name="a link to itself", make=no_file("loop"), error="cannot be opened (Too many"),
    Hostile(name="a link to nothing", make=no_file("broken link"), error="is not there"),
    Hostile(name="a file below a file", make=no_file("below a file"), error="is not there"),
    Hostile(name="no file at all", make=no_file("none"), error="is not there"),
    Hostile(
        name="an empty folder with the name of a file",
        make=no_file("folder"),
        error="is a folder without text",
    ),
    Hostile(
        name="a folder that holds something else",
        make=folder_with("b.csv"),
        error="holds b.csv, which is none of",
    ),
    Hostile(name="a folder with hidden files", make=folder_with(".b.csv"), pairs=1),
    Hostile(name="a pattern without a match", make=at("/nowhere/*.jsonl"), error="matches no file"),
    Hostile(name="a name with a NUL byte", make=at("a\0.jsonl"), error="is no path"),
    Hostile(
        name="a name of 5,000 letters",
        make=at("x" * 5000 + ".jsonl"),
        error="cannot be opened (File name too long",
    ),
    Hostile(name="a file of another kind", make=file("c.csv", GOOD), error="is none of .jsonl"),
    Hostile(name="a file of no kind", make=file("c", GOOD), error="is none of .jsonl"),
    Hostile(
        name="one text file for two languages", make=file("c.txt", GOOD), error="is one text file"
    ),
    Hostile(
        name="a URL of a kind that is not read",
        make=at("gopher://host/c.jsonl"),
        error="a URL begins with http",
    ),
    Hostile(
        name="a URL that leads to this machine",
        make=at("http://127.1/c.jsonl", public_only=True),
        error="not a public address",
    ),
)
