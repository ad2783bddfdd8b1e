"""A running command → memory of all its processes, disk that it uses, and the time of its stages.

Memory is the proportional set size (PSS) of /proc/PID/smaps_rollup, summed over every process of
the command's session: a page that several share is counted once. What happens between two looks
is bounded by the kernel's own high-water marks of resident memory, summed as well.
"""

import ctypes
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_LOOK_S: Final = 0.25
_LOOKS_A_SAMPLE: Final = 4  # the disk is looked at for each sample, which takes longer
_BLOCK_BYTES: Final = 512  # of st_blocks
_PR_SET_PDEATHSIG: Final = 1


@dataclass
class Watch:
    """What was seen of a command, over all the times that it was started; JSON when stored."""

    elapsed_s: float = 0.0
    starts: int = 0
    processes: int = 0
    peak_pss_bytes: int = 0
    peak_anonymous_bytes: int = 0
    peak_rss_bytes: int = 0
    high_water_bytes: int = 0
    peak_disk_bytes: dict[str, int] = field(default_factory=dict)
    stages_s: dict[str, float] = field(default_factory=dict)
    """From the last report of the stage before to the last one of this, in order."""
    samples: list[tuple[float, float, float]] = field(default_factory=list)
    """Seconds, MB of PSS, MB of all folders."""


def run_watched(
    command: Sequence[str],
    watch: Watch,
    folders: dict[str, Path],
    *,
    environment: dict[str, str],
    keep: Callable[[Watch], object],
) -> str:
    """Run a command that reports its stages as JSON lines on stderr; what it says on stdout.

    `keep` is called with every sample, so that a stop loses little of what was seen.

    Raises:
        RuntimeError: when the command fails, with the last line that it said.
    """
    before, started = watch.elapsed_s, time.monotonic()
    watch.starts += 1
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
        preexec_fn=_end_with_parent,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    output: list[str] = []
    said: list[str] = []
    readers = [
        threading.Thread(target=output.extend, args=(process.stdout,)),
        threading.Thread(target=_follow, args=(process.stderr, watch, before - started, said)),
    ]
    for reader in readers:
        reader.start()
    try:
        _watch(process, watch, folders, before - started, keep)
    finally:
        process.terminate()
        process.wait()
        for reader in readers:
            reader.join()
        watch.elapsed_s = before + time.monotonic() - started  # with the stage that is told last
        process.stdout.close()
        process.stderr.close()
        look_at_disk(watch, folders)
        keep(watch)
    if process.returncode:
        raise RuntimeError(said[-1] if said else f"exit code {process.returncode}")
    return "".join(output)


def _end_with_parent() -> None:
    """Run in the child: a command that went on unseen would be in the way of the next one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _watch(
    process: subprocess.Popen[str],
    watch: Watch,
    folders: dict[str, Path],
    offset: float,
    keep: Callable[[Watch], object],
) -> None:
    """Look at a process until it ends."""
    looks = 0
    while process.poll() is None:
        watch.elapsed_s = offset + time.monotonic()
        pss = look_at_memory(watch, process.pid)
        if looks % _LOOKS_A_SAMPLE == 0:
            disk = look_at_disk(watch, folders)
            watch.samples.append((watch.elapsed_s, pss / 1e6, disk / 1e6))
            keep(watch)
        looks += 1
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)


def _follow(lines: Iterable[str], watch: Watch, offset: float, said: list[str]) -> None:
    """Read reports as they come: each prolongs its stage up to now."""
    ended = offset + time.monotonic()
    for line in lines:
        try:
            stage = str(json.loads(line)["stage"])
        except (ValueError, KeyError, TypeError):
            said.append(line.strip())
            continue
        now = offset + time.monotonic()
        watch.stages_s[stage] = watch.stages_s.get(stage, 0.0) + now - ended
        ended = now


def look_at_memory(watch: Watch, session: int) -> int:
    """Raise the peaks to what the processes of a session use now; their PSS."""
    found = [told for pid in _processes(session) if (told := _memory(pid))]
    pss = sum(told["Pss"] for told in found)
    watch.processes = max(watch.processes, len(found))
    watch.peak_pss_bytes = max(watch.peak_pss_bytes, pss)
    anonymous = sum(told["Pss_Anon"] for told in found)
    watch.peak_anonymous_bytes = max(watch.peak_anonymous_bytes, anonymous)
    watch.peak_rss_bytes = max(watch.peak_rss_bytes, sum(told["Rss"] for told in found))
    watch.high_water_bytes = max(watch.high_water_bytes, sum(told["VmHWM"] for told in found))
    return pss


def _processes(session: int) -> Iterator[int]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if int(fields[3]) == session:
                yield int(path.name)


def _memory(pid: int) -> dict[str, int]:
    """Bytes by the kernel's names; empty when the process has ended."""
    found = {}
    try:
        for file in ("smaps_rollup", "status"):
            for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in ("Pss", "Pss_Anon", "Rss", "VmHWM"):
                    found[name] = int(value.split()[0]) * 1024
    except OSError:
        return {}
    return found if len(found) == 4 else {}


def look_at_disk(watch: Watch, folders: dict[str, Path]) -> int:
    """Raise the peaks to what lies in the folders now; the sum."""
    used = {name: _disk_bytes(folder) for name, folder in folders.items()}
    used["all"] = sum(used.values())
    for name, size in used.items():
        watch.peak_disk_bytes[name] = max(watch.peak_disk_bytes.get(name, 0), size)
    return used["all"]


def _disk_bytes(folder: Path) -> int:
    """What the files below a folder take of the disk; some may go while they are counted."""
    total = 0
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                else:
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        total += status.st_blocks * _BLOCK_BYTES
    return total


def thinned(watch: Watch, most: int = 300) -> list[list[Any]]:
    """So many samples at most, the highest of each stretch."""
    step = -(-len(watch.samples) // most) or 1
    stretches = (
        watch.samples[start : start + step] for start in range(0, len(watch.samples), step)
    )
    return [[round(value, 1) for value in max(one, key=lambda s: s[1])] for one in stretches]
