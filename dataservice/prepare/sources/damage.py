"""What cannot be read → a stable reason to count, and a sentence to tell."""

from typing import Literal

from dataservice.errors import SourceError

Reason = Literal[
    "damaged_archive",
    "damaged_encoding",
    "damaged_line",
    "damaged_record",
    "fuzzy",
    "obsolete",
    "untranslated",
]


class DamagedError(Exception):
    """Part of a source that cannot be read: an error, or counted, as configured."""

    def __init__(self, reason: Reason, message: str, place: str | None = None) -> None:
        """`place` is named where the reader that meets it does not know better."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.place = place


def no_archive(name: str, why: object) -> DamagedError:
    return DamagedError(
        "damaged_archive",
        f"source {name} is cut or damaged ({why}); what could be read of it is not used; fetch "
        "it again",
    )


def missing_package(name: str, package: str, extra: str) -> SourceError:
    return SourceError(
        f"source {name} needs the package {package}, which is not installed; install it: "
        f"pip install 'prometheusgpt-mini[{extra}]'"
    )
