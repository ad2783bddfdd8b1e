"""What a source yields: one pair of texts and what is known of where it came from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One RU/EN pair as read; tags that the source does not know are None."""

    ru: str
    en: str
    author: str | None
    city: str | None
    year: str | None
    source: str
