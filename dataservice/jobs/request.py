"""The service's settings and what a request sets → the settings of a build, or a refusal."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from dataservice.engine_settings import EngineSettings
from dataservice.errors import SourceError
from dataservice.prepare.reuse import names_blob
from dataservice.prepare.sources.locate import local_paths, shown
from dataservice.settings import BuildSettings, ServiceSettings
from dataservice.source_settings import SourceSettings, format_of, is_url, label_of
from shards.cli.mistakes import Layer, describe_errors
from shards.errors import PrometheusError
from shards.manifest import canonical_json

SERVICE_ONLY: Final = frozenset(
    {"data_dir", "max_line_bytes", "max_source_bytes", "max_source_ratio"}
    | EngineSettings.model_fields.keys()
)
KNOWN: Final = "GET /openapi.json lists the known ones"
_NOT_QUEUED: Final = "nothing was queued"
_SOURCES: Final = ("sources", "test_sources")

_WILDCARDS: Final = frozenset("*?[")
_MAX_FILES: Final = 10_000


class RequestError(PrometheusError):
    """A request sets something that is unknown or cannot work."""


class ForbiddenSourceError(RequestError):
    """A request names a source that it may not read."""


def merge_settings(settings: ServiceSettings, overrides: Mapping[str, Any]) -> BuildSettings:
    """The service's own build settings with a request's over them.

    Raises:
        RequestError, ForbiddenSourceError: with a sentence for each thing that is wrong.
    """
    for name in sorted(SERVICE_ONLY & overrides.keys()):
        raise RequestError(
            f"setting {name!r} belongs to the service and cannot be set by a request; nothing "
            "was queued; leave it out, or start the service with another value"
        )
    base = settings.model_dump(include=set(BuildSettings.model_fields))
    try:
        merged = BuildSettings.model_validate({**base, **overrides})
        canonical_json(merged.model_dump(mode="json"))
    except ValidationError as error:
        told = describe_errors(
            error, BuildSettings, [Layer(overrides)], consequence=_NOT_QUEUED, known=KNOWN
        )
        raise RequestError(told) from error
    except PrometheusError as error:
        raise RequestError(f"{error}; {_NOT_QUEUED}") from error
    except ValueError as error:
        raise RequestError(
            f"a setting cannot be written down ({error}); {_NOT_QUEUED}; give another"
        ) from error
    if merged.tokenizer != settings.tokenizer and not names_blob(merged.tokenizer or "0" * 64):
        raise ForbiddenSourceError(
            f"tokenizer {merged.tokenizer!r} is refused: no request may name a file for it; "
            "nothing was queued; give the sha256 of a model in the store, which each version's "
            "manifest states"
        )
    for name in _SOURCES:
        if overrides.get(name):
            given: list[SourceSettings] = getattr(merged, name)
            allowed = [found for source in given for found in _allowed(source, settings)]
            merged = merged.model_copy(update={name: allowed})
    return merged


def _allowed(source: SourceSettings, settings: ServiceSettings) -> Iterator[SourceSettings]:
    """The source with its files resolved, so that what was checked is what will be read."""
    urls = [location for location in source.locations if is_url(location)]
    for url in urls:
        _check_url(url, settings)
    if urls and len(urls) == len(source.locations):
        yield source.model_copy(update={"public_only": True})
        return
    root = settings.source_root
    if root is None:
        raise ForbiddenSourceError(
            f"source {source.locations[0]!r} is refused: this service lets no request name "
            "files; start it with --source-root FOLDER (DATASERVICE_SOURCE_ROOT) to allow those "
            "of a folder"
        )
    if source.path is None:
        pinned = {
            side: at if is_url(at) else str(_resolve(at, root))
            for side, at in (("src", source.src or ""), ("tgt", source.tgt or ""))
        }
        yield source.model_copy(update={**pinned, "name": source.label, "public_only": True})
        return
    for path, resolved in _files(source, root):
        yield source.model_copy(
            update={
                "path": str(resolved),
                "config": None,
                "split": None,
                "name": source.name or label_of(path),
                "format": source.format or format_of(path),
            }
        )


def _check_url(url: str, settings: ServiceSettings) -> None:
    if not settings.source_urls:
        raise ForbiddenSourceError(
            f"source {shown(url)!r} is refused: this service lets no request name URLs; start it "
            "with --source-urls (DATASERVICE_SOURCE_URLS) to allow public ones"
        )
    if not url.startswith(("http://", "https://")):
        raise ForbiddenSourceError(
            f"source {shown(url)!r} is refused: a request may name http and https URLs only, for "
            "others would be read with the service's own credentials; name such a URL"
        )


def _files(source: SourceSettings, root: Path) -> list[tuple[str, Path]]:
    """The files that a path below the root means: each as it was found, and links followed."""
    given = source.path or ""
    try:
        folder = root.resolve()
        if (whole := folder / given).is_dir():
            _resolve(given, root, is_folder=True)
        elif os.path.lexists(whole) or not _WILDCARDS & set(given):
            return [(given, _resolve(given, root))]
        else:
            _check_pattern(given, root)
        found = local_paths(source.model_copy(update={"path": str(whole)}))
    except SourceError as error:
        raise RequestError(f"{error}; nothing was queued") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise RequestError(f"source {given!r} is no path that can be read: {error}") from error
    if len(found) > _MAX_FILES:
        raise RequestError(
            f"source {given!r} means {len(found)} files, a request may name {_MAX_FILES}; nothing "
            "was queued; join the files, or make the folder a source of the service's own"
        )
    try:
        return [(path, _resolve(path, root)) for path in found]
    except ForbiddenSourceError as error:
        raise _forbidden(given, root) from error  # does not name what lies outside


def _check_pattern(given: str, root: Path) -> None:
    """Refuse a pattern that looks outside of the root, or is slow to look for."""
    parts = Path(given).parts
    fixed = next(number for number, part in enumerate(parts) if _WILDCARDS & set(part))
    if ".." in parts[fixed:] or parts.count("**") > 1:
        raise RequestError(
            f"source {given!r} is a pattern with '..' or a second '**' behind its first wildcard; "
            "nothing was queued; write it without"
        )
    if not (root / Path(*parts[:fixed])).resolve().is_relative_to(root.resolve()):
        raise _forbidden(given, root)


def _forbidden(given: str, root: Path) -> ForbiddenSourceError:
    return ForbiddenSourceError(
        f"source {given!r} is refused: it is not below {root}, where this service lets "
        "requests read; move it there, or name one that is"
    )


def _resolve(file: str, root: Path, *, is_folder: bool = False) -> Path:
    """Where a file is, links followed; a relative one is below the root."""
    try:
        folder = root.resolve()
        resolved = (folder / file).resolve()
        inside = resolved.is_relative_to(folder)
        is_there = inside and (resolved.is_dir() if is_folder else resolved.is_file())
    except (OSError, ValueError, RuntimeError) as error:
        raise RequestError(f"source {file!r} is no path that can be read: {error}") from error
    if not inside:
        raise _forbidden(file, root)
    if not is_there:
        raise RequestError(
            f"source {file!r} is not a file below {root}; nothing was queued; check its name"
        )
    return resolved
