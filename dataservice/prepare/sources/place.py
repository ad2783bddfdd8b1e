"""One file of a source, and which files of a folder are text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dataservice.errors import SourceError
from dataservice.source_settings import Format, SourceSettings, format_of

KNOWN: Final = ".jsonl, .tsv, .parquet, .tmx, .po or .mo (plain, .gz, .zst or .xz)"
_NO_TEXT: Final = (".md", ".license", ".gitattributes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One file: where it is, and how it is read."""

    location: str
    """A path or a URL."""
    format: Format
    label: str
    packing: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the request that fetches it."""
    sha256: str | None = None
    num_bytes: int | None = None
    shown: str = ""
    """What errors call it; the location by default."""

    @property
    def name(self) -> str:
        return self.shown or self.location


def text_files(folder: Path, source: SourceSettings) -> list[str]:
    """All files of a folder, hidden and explaining ones aside.

    Raises:
        SourceError: when there is none, or one that cannot be read as text.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts) or path.is_dir():
            continue
        if path.name.lower().endswith(_NO_TEXT) or path.name.upper().startswith("LICENSE"):
            continue
        if source.format is None and format_of(path.name) is None:
            raise SourceError(
                f"source {folder} holds {path.relative_to(folder)}, which is none of {KNOWN}; move "
                "it, or name the files with a pattern"
            )
        found.append(str(path))
    if not found:
        raise SourceError(f"source {folder} is a folder without text; check its path")
    return found
