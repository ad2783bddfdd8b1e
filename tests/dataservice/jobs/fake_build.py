"""A settings file → what a build does as a process, without a build; its `name` chooses what."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

Settings = dict[str, Any]
VERSION = "ab" * 32


def emit(stream: Any, value: object) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def succeed(settings: Settings) -> None:
    emit(sys.stdout, {"name": settings["name"], "version": VERSION})


def refuse(_: Settings) -> None:
    emit(sys.stdout, {"error": "no pair is left to build from"})
    sys.exit(1)


def tell_environment(_: Settings) -> None:
    found = sorted(key for key in os.environ if key.startswith("DATASERVICE_"))
    emit(sys.stdout, {"error": f"variables: {found}"})
    sys.exit(1)


def claim_nonsense(settings: Settings) -> None:
    emit(sys.stdout, {"name": settings["name"], "version": "not a version"})


def die(_: Settings) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_and_leave_a_worker(settings: Settings) -> None:
    # it holds our pipes open for longer than any test may last
    subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    die(settings)


def shout(settings: Settings) -> None:
    sys.stderr.write("x" * (3 << 20))
    succeed(settings)


def wait_forever(settings: Settings) -> None:
    # opening a pipe waits for its other end: the test goes on, and stops us
    Path(settings["data_dir"], "gate").open("w").close()
    while True:
        signal.pause()


def ignore_and_wait(settings: Settings) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_forever(settings)


def wait_for_gate(settings: Settings) -> None:
    Path(settings["data_dir"], "gate").open().close()
    succeed(settings)


ENDS = {
    "refused": refuse,
    "environment": tell_environment,
    "crash": lambda _: sys.exit("Traceback: something unforeseen"),
    "mute": lambda _: None,
    "other": claim_nonsense,
    "killed": die,
    "orphans": die_and_leave_a_worker,
    "noise": shout,
    "hang": wait_forever,
    "stubborn": ignore_and_wait,
    "gate": wait_for_gate,
}

if __name__ == "__main__":
    loaded = yaml.safe_load(Path(sys.argv[1]).read_text())
    emit(sys.stderr, {"stage": "read", "done": 3, "total": 7})
    sys.stderr.write("a warning that is no progress\n")
    ENDS.get(loaded["name"], succeed)(loaded)
