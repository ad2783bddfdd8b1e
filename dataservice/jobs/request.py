"""The service's settings and what a request sets → the settings of a build, or a refusal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from dataservice.settings import BuildSettings, ServiceSettings, SourceSettings
from shards.cli.settings import describe_errors
from shards.errors import PrometheusError
from shards.manifest import canonical_json

SERVICE_ONLY: Final = frozenset({"data_dir", "processes"})


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
        raise RequestError(describe_errors(error, BuildSettings)) from error
    except PrometheusError as error:
        raise RequestError(str(error)) from error
    except ValueError as error:
        raise RequestError(f"a setting cannot be written down ({error}); give another") from error
    if overrides.get("sources"):
        allowed = [_allowed(source, settings.source_root) for source in merged.sources]
        merged = merged.model_copy(update={"sources": allowed})
    return merged


def _allowed(source: SourceSettings, root: Path | None) -> SourceSettings:
    """The source with its files resolved, so that what was checked is what will be read."""
    if root is None:
        raise ForbiddenSourceError(
            f"source {str(source.files[0])!r} is refused: this service lets no request name "
            "files; start it with --source-root FOLDER (DATASERVICE_SOURCE_ROOT) to allow those "
            "of a folder"
        )
    files = {
        side: _resolve(file, root)
        for side in ("path", "ru", "en")
        if (file := getattr(source, side)) is not None
    }
    return source.model_copy(update={**files, "name": source.label})


def _resolve(file: Path, root: Path) -> Path:
    """Where a file is, links followed; a relative one is below the root."""
    try:
        folder = root.resolve()
        resolved = (folder / file).resolve()
        inside = resolved.is_relative_to(folder)
        is_file = inside and resolved.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise RequestError(f"source {str(file)!r} is no path that can be read: {error}") from error
    if not inside:
        raise ForbiddenSourceError(
            f"source {str(file)!r} is refused: it is not below {root}, where this service lets "
            "requests read; move it there, or name one that is"
        )
    if not is_file:
        raise RequestError(
            f"source {str(file)!r} is not a file below {root}; nothing was queued; check its name"
        )
    return resolved
