"""A command → the same command killed at its N-th durable step, for every N, and run again.

What a build promises after a kill is asked of the whole program: `strace` ends it with SIGKILL on
its way into the N-th fsync or rename. After each kill the plain command must succeed and give
what it gives when nobody disturbs it. With one process, and at the steps of its main thread, since
strace counts for each of them: a commit syncs its blobs in others, between two steps of the main
one, and what reads the sources, which comes first, is killed in its place as often as it has
chunks.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DURABLE_STEPS: Final = ("fsync", "fdatasync", "rename", "renameat", "renameat2")
_KILLED: Final = (-9, 137)
_TIMEOUT_S: Final = 300
_AT_ONCE: Final = 2
_PROGRAM: Final = (sys.executable, "-m", "dataservice")
# what happens at a report cannot come too late, as what waits for its line may on a busy machine
_REPORTING: Final = """
from shards.cli import console
{define}
tell = console.json_lines

def report(stage, done, total):
    tell(stage, done, total)
    heard(stage)

console.json_lines = report
from dataservice.cli import main
main()
"""


def build_command(folder: Path, *options: str, program: Sequence[str] = _PROGRAM) -> list[str]:
    """`dataservice build` of a data set of a few hundred pairs into a folder."""
    return [*program, "build", "--data-dir", str(folder), "--name", "small", *options]


def reporting_program(define: str) -> list[str]:
    """The command line's program, which calls `heard(stage)` of this code at each report."""
    return [sys.executable, "-c", _REPORTING.format(define=define)]


def build_version(folder: Path, *options: str) -> str:
    """The version id that the undisturbed build gives, which leaves nothing unfinished."""
    done = _run(build_command(folder, *options))
    assert done.returncode == 0, done.stderr
    assert unfinished(folder / "work") == []
    found = re.search(r"^version: ([0-9a-f]{64})$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return found[1]


@contextmanager
def running_build(folder: Path, *options: str) -> Iterator[tuple[int, Iterator[str]]]:
    """A build at work: its process, and the lines that tell its progress; it must end well or
    by a kill."""
    command = build_command(folder, *options, "--progress", "json")
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as build:
        assert build.stderr is not None
        yield build.pid, iter(build.stderr)
        rest = build.stderr.read()
    assert build.returncode in (0, -signal.SIGKILL), rest


def unfinished(work: Path) -> list[Path]:
    """Folders of builds that did not end; those that did may keep their text."""
    return [path for path in work.glob("build-*") if not (path / "finished").exists()]


@dataclass(frozen=True, slots=True)
class Step:
    """The `number`-th call of one kind, on its way into which a program is killed."""

    call: str
    number: int


def steps_of(command: Sequence[str], trace: Path) -> list[Step]:
    """The durable steps of a command that is not killed, in the order in which it takes them."""
    calls = ",".join(("execve", *DURABLE_STEPS))  # the main thread is the one that begins
    done = _run([*_strace(trace), "-e", f"trace={calls}", *command])
    assert done.returncode == 0, done.stderr
    counts: Counter[str] = Counter()
    steps = []
    calls_of_threads = re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE)
    main_thread, begin = calls_of_threads[0]
    assert begin == "execve"
    for thread, call in calls_of_threads[1:]:
        if thread != main_thread:
            continue
        counts[call] += 1
        steps.append(Step(call, counts[call]))
    return steps


def kill_at(step: Step, command: Sequence[str]) -> None:
    """Run a command that is killed on its way into a step."""
    inject = f"inject={step.call}:signal=SIGKILL:when={step.number}"
    trace = ["-e", f"trace={step.call}", "-e", inject]
    done = _run([*_strace(Path("/dev/null")), *trace, *command])
    assert done.returncode in _KILLED, f"{step}: {done.returncode}\n{done.stderr}"


def versions_after_kills(root: Path, *options: str) -> dict[Step, str]:
    """The version of a build that was killed at each of its steps in turn and run again."""
    steps = steps_of(build_command(root / "counted", *options), root / "trace")

    def kill_and_run(number: int) -> str:
        folder = root / f"{number}"
        kill_at(steps[number], build_command(folder, *options))
        version = build_version(folder, *options)
        shutil.rmtree(folder)
        return version

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        versions = list(threads.map(kill_and_run, range(len(steps))))
    return dict(zip(steps, versions, strict=True))


def _strace(trace: Path) -> list[str]:
    strace = shutil.which("strace")
    assert strace, "these tests need strace: apt-get install strace"
    return [strace, "-f", "-qq", "-o", str(trace)]


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
