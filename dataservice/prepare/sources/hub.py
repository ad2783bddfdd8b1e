"""A Hugging Face data set, by name or as a folder in its layout → its files, split by split."""

import fnmatch
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

import yaml

from dataservice.errors import SourceError
from dataservice.prepare.sources.damage import missing_package
from dataservice.prepare.sources.place import KNOWN, Place, text_files
from dataservice.source_settings import (
    Format,
    Reading,
    SourceSettings,
    format_of,
    label_of,
    packing_of,
)

_CARD: Final = "README.md"
_MAX_CARD_BYTES: Final = 1 << 20


def hub_places(source: SourceSettings, reading: Reading) -> Iterator[Place]:
    """The files of `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION`, pinned to one commit.

    Raises:
        SourceError: when the data set is not there, or has no such configuration or split.
    """
    del reading
    name = (source.path or "").removeprefix("hf://").strip("/")
    name, _, revision = name.partition("@")
    endpoint, token, info = _ask(name, revision)
    card = info.card_data.to_dict() if info.card_data else {}
    siblings = {file.rfilename: file for file in info.siblings or []}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for path in choose(sorted(siblings), card, source, f"hf://{name}"):
        file = siblings[path]
        yield Place(
            location=f"{endpoint}/datasets/{name}/resolve/{info.sha}/{quote(path)}",
            format=_format(path, source, f"hf://{name}"),
            label=source.name or label_of(name),
            packing=packing_of(path),
            headers=headers,
            sha256=file.lfs.sha256 if file.lfs else None,
            num_bytes=file.size,
            shown=f"hf://{name}/{path}",
        )


def _ask(name: str, revision: str) -> tuple[str, str | None, Any]:
    """The hub's address, a token if there is one, and what the hub says of a data set."""
    try:
        import huggingface_hub
        from huggingface_hub import constants
        from huggingface_hub.errors import HfHubHTTPError
    except ModuleNotFoundError as error:
        raise missing_package(f"hf://{name}", "huggingface_hub", "hub") from error
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    # its bases are those of whatever client the library uses: a lost network is one of them
    bases = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    failures: tuple[type[Exception], ...] = (*bases, ValueError)
    try:
        api = huggingface_hub.HfApi(endpoint=endpoint)
        info = api.dataset_info(name, revision=revision or None, files_metadata=True)
    except failures as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(
            f"source hf://{name} cannot be asked for ({reason}); check the network, the "
            "name, and HF_TOKEN for one that is not public"
        ) from error
    return endpoint, huggingface_hub.get_token(), info


def folder_paths(folder: Path, source: SourceSettings) -> list[str]:
    """The files of a folder: all of them, or those that its card names, as a clone of a hub's."""
    card = _read_card(folder / _CARD)
    if not (card.get("configs") or source.config or source.split):
        return text_files(folder, source)
    names = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    chosen = choose(names, card, source, str(folder))
    for path in chosen:
        _format(path, source, str(folder))
    return [str(folder / path) for path in chosen]


def _format(path: str, source: SourceSettings, name: str) -> Format:
    found = source.format or format_of(path)
    if found is None:
        raise SourceError(
            f"source {name} holds {path}, which is none of {KNOWN}; name another `config`, or "
            "export it as Parquet"
        )
    return found


def _read_card(path: Path) -> Mapping[str, Any]:
    """The YAML between the first two lines of dashes of a README.md; empty without."""
    if not path.is_file() or path.stat().st_size > _MAX_CARD_BYTES:
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        card = yaml.safe_load(parts[1])
    except (yaml.YAMLError, RecursionError) as error:
        raise SourceError(f"source {path.parent}: its README.md is no YAML; mend it") from error
    return card if isinstance(card, dict) else {}


def choose(
    paths: list[str], card: Mapping[str, Any], source: SourceSettings, name: str
) -> list[str]:
    """The paths of the wanted configuration and split, in the order of the card's patterns."""
    splits = _splits(paths, card, source, name)
    if source.split is not None:
        if source.split not in splits:
            raise SourceError(
                f"source {name} has no split {source.split!r}, it has "
                f"{', '.join(sorted(splits)) or 'none'}; name one of them"
            )
        splits = {source.split: splits[source.split]}
    found = list(dict.fromkeys(path for files in splits.values() for path in files))
    if not found:
        raise SourceError(f"source {name} holds no file that can be read: {KNOWN}; check it")
    return found


def _splits(
    paths: list[str], card: Mapping[str, Any], source: SourceSettings, name: str
) -> dict[str, list[str]]:
    configs = [entry for entry in card.get("configs") or [] if isinstance(entry, dict)]
    if configs:
        names = [str(entry.get("config_name", "default")) for entry in configs]
        wanted = source.config or next(
            (str(e["config_name"]) for e in configs if e.get("default") and "config_name" in e),
            "default" if "default" in names else names[0] if len(names) == 1 else None,
        )
        if wanted not in names:
            raise SourceError(
                f"source {name} has the configurations {', '.join(names)}"
                + (f", not {wanted!r}" if wanted else "")
                + "; name one as `config`"
            )
        return _of_patterns(paths, configs[names.index(wanted)].get("data_files"))
    readable = [path for path in paths if format_of(path) is not None]
    if source.config is not None:
        readable = [path for path in readable if path.split("/")[0] == source.config]
    splits: dict[str, list[str]] = {}
    for path in readable:
        splits.setdefault(_split_of(path), []).append(path)
    return splits


def _of_patterns(paths: list[str], data_files: Any) -> dict[str, list[str]]:
    """`data_files` of a card: a pattern, several, or several for each split."""
    if not isinstance(data_files, list) or not all(isinstance(e, dict) for e in data_files):
        data_files = [{"split": "train", "path": data_files}]
    splits: dict[str, list[str]] = {}
    for entry in data_files:
        patterns = entry.get("path")
        for pattern in patterns if isinstance(patterns, list) else [patterns]:
            found = [path for path in paths if fnmatch.fnmatchcase(path, str(pattern))]
            splits.setdefault(str(entry.get("split", "train")), []).extend(found)
    return splits


def _split_of(path: str) -> str:
    """The split that a file's name tells, as train-00000-of-00002.parquet does."""
    words = path.lower().replace("/", "-").replace("_", "-").replace(".", "-").split("-")
    known = {"valid": "validation", "val": "validation", "dev": "validation"}
    for word in words:
        if word in ("train", "validation", "test", *known):
            return known.get(word, word)
    return "train"
