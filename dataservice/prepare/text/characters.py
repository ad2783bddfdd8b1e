"""The characters that tables are made of, all at once: one by one they took 0.1 s of a build."""

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

END: Final = 0x20000  # behind it lie Han letters and what is no living script
_BLOCK: Final = 256


@cache
def every_char() -> str:
    """The characters below END, surrogates among them, in order."""
    return np.arange(END, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")


def is_category(category: str) -> npt.NDArray[np.bool_]:
    """Which characters are of a general category, such as Lu, or of a class of them: L [END]."""
    wanted = np.frombuffer(category.encode("ascii"), np.uint8)
    return np.asarray((_categories()[:, : len(wanted)] == wanted).all(axis=1))


@cache
def _categories() -> npt.NDArray[np.uint8]:
    """Both letters of the category of each character, in ASCII [END, 2]."""
    letters = "".join(map(unicodedata.category, every_char()))
    return np.frombuffer(letters.encode("ascii"), np.uint8).reshape(END, 2)


def changed_by(change: Callable[[str], str]) -> dict[int, str]:
    """Code points that a function changes, and what each becomes on its own.

    A text that it leaves as it is must have no character that it would change.
    """
    found: dict[int, str] = {}
    for begin in range(0, END, _BLOCK):
        block = every_char()[begin : begin + _BLOCK]
        if change(block) != block:
            found |= {ord(char): new for char in block if (new := change(char)) != char}
    return found
