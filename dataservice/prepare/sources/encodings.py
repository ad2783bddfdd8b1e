"""Names of encodings that a file may give itself → Python's; others do more than decode text."""

from typing import Final

TEXT_ENCODINGS: Final[dict[str, str]] = {
    **dict.fromkeys(("utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968"), "utf-8"),
    **{f"iso-8859-{number}": f"iso8859_{number}" for number in range(1, 17) if number != 12},
    **{f"windows-{number}": f"cp{number}" for number in range(1250, 1259)},
    **{f"cp{number}": f"cp{number}" for number in range(1250, 1259)},
    **{name: name.replace("-", "_") for name in ("koi8-r", "koi8-u", "euc-jp", "euc-kr")},
    "utf-16": "utf-16",
}
