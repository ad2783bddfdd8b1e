"""A source's location → the files it stands for, in an order that is always the same."""

import glob
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from dataservice.errors import SourceError
from dataservice.prepare.sources.hub import folder_paths, hub_places
from dataservice.prepare.sources.place import KNOWN, Place
from dataservice.source_settings import (
    Reading,
    SourceSettings,
    format_of,
    is_url,
    label_of,
    packing_of,
)

_PATTERN: Final = frozenset("*?[")
_BOTH_SIDES: Final = ("jsonl", "tsv", "parquet", "tmx")  # `.po` and `.mo` may be languages


def locate(source: SourceSettings, reading: Reading) -> Iterator[tuple[Place, ...]]:
    """The files of a source: one at a time, or two that are parallel.

    Raises:
        SourceError: when there is none, or one is in no known format.
    """
    if source.path is None:
        if not reading.tgt_lang:
            raise SourceError(
                f"source {', '.join(source.locations)} has two sides, and --tgt-lang '' says that "
                "texts have no translation; name one file, or set the language"
            )
        for at in source.locations:
            if format_of(at) in _BOTH_SIDES:
                raise SourceError(
                    f"source {shown(at)} holds both sides by its name, and parallel files are "
                    "plain text of one side each, a line a pair; give it alone, or rename it"
                )
        yield tuple(
            replace(place(at, source), label=source.label, format="txt") for at in source.locations
        )
    elif source.path.startswith("hf://"):
        yield from ((found,) for found in hub_places(source, reading))
    elif is_url(source.path):
        yield (checked(place(source.path, source), reading),)
    else:
        for path in local_paths(source):
            yield (checked(place(path, source), reading),)


def local_paths(source: SourceSettings) -> list[str]:
    """The files that a path means: itself, those of a folder, or those that match a pattern."""
    path = source.path or ""
    if "\0" in path:
        raise SourceError(f"source {path!r} is no path; check it")
    if os.path.isdir(path):  # noqa: PTH112
        return folder_paths(Path(path), source)
    if os.path.lexists(path) or not _PATTERN & set(path):
        return [path]
    found = sorted(name for name in glob.glob(path, recursive=True) if not Path(name).is_dir())  # noqa: PTH207
    if not found:
        raise SourceError(f"source {path} matches no file; check the pattern")
    return found


def place(location: str, source: SourceSettings) -> Place:
    """How a file is read: as its name says, where the settings do not."""
    found = source.format or format_of(location)
    if found is None and source.path is not None:
        raise SourceError(
            f"source {shown(location)} is none of {KNOWN}; rename it, give its `format`, or give "
            "two parallel text files as SRC.txt,TGT.txt"
        )
    return Place(
        location=location,
        format=found or "txt",
        label=source.name or label_of(location),
        packing=packing_of(location),
        shown=shown(location),
    )


def checked(found: Place, reading: Reading) -> Place:
    """A file that holds both sides, or needs only one."""
    if found.format == "txt" and reading.tgt_lang:
        raise SourceError(
            f"source {found.name} is one text file, which is none of {KNOWN}; give two parallel "
            "ones as SRC.txt,TGT.txt, or --tgt-lang '' for texts without a translation"
        )
    return found


def shown(location: str) -> str:
    """A location as it may be written down: without what a URL keeps secret."""
    if not is_url(location):
        return location
    scheme, _, rest = location.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0].partition('#')[0]}"
