"""Texts of a pair and settings → what the filters say of it."""

from typing import Any

from dataservice.prepare.filters import drop_reason, flags, make_batch
from dataservice.settings import BuildSettings


def reason(src: str, tgt: str, **settings: Any) -> str | None:
    """The reason for which a pair is dropped."""
    return drop_reason(src, tgt, BuildSettings.model_validate(settings))


def says(name: str, src: str, tgt: str | None, **settings: Any) -> bool:
    """Whether one filter alone would drop a pair, or a text without a translation."""
    values = BuildSettings.model_validate({"tgt_lang": "en" if tgt is not None else ""} | settings)
    batch = make_batch([src], None if tgt is None else [tgt], values)
    return bool(flags(batch)[name][0])
