"""What a source yields: texts side by side, and what is known of where each came from."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """N pairs as read, one list a field; tags that the source does not know are None."""

    src: list[str]
    tgt: list[str] | None  # None: texts without a translation
    author: list[str | None]
    city: list[str | None]
    year: list[str | None]
    source: list[str]
    damaged: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Records that could not be read and were skipped as configured, by source and reason."""

    def __len__(self) -> int:
        return len(self.src)
