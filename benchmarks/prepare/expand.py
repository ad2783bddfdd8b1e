"""A real corpus and a number → a synthetic corpus of so many unique pairs, in parts of a million.

Copy after copy of the real lines, each pair with an invented name at a place of its own, spelled
in both languages: `маверодин` and `maverodin`. Names are letters, so that pairs stay unique when
case, digits and punctuation are folded, and bring new words as a growing corpus does. Lengths and
the other words are those of the real text. The first copy is the real text itself, its duplicates
included. The same corpus and number give the same bytes.

    python -m benchmarks.prepare.expand pairs.jsonl.zst 10000000 FOLDER
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from benchmarks.prepare.corpus import open_plain

PART_PAIRS: Final = 1_000_000
_ONSETS: Final = "б:b в:v г:g д:d з:z к:k л:l м:m н:n п:p р:r с:s т:t ф:f х:kh ч:ch"
_NUCLEI: Final = "а:a е:e и:i о:o у:u ан:an ер:er ин:in"
_SYLLABLES: Final = [
    tuple(map("".join, zip(onset.split(":"), nucleus.split(":"), strict=True)))
    for onset in _ONSETS.split()
    for nucleus in _NUCLEI.split()
]
_NUM_NAMES: Final = len(_SYLLABLES) ** 3
_STRIDE: Final = 1_299_709  # a prime: copies of a pair have different names


class Base(NamedTuple):
    """The real lines, cut where names go, and the first name of each."""

    heads: list[bytes]  # up to the place in src
    middles: list[bytes]  # on to the place in tgt
    tails: list[bytes]
    names: npt.NDArray[np.int64]


def read_base(corpus: Path) -> Base:
    """Cut every line of a corpus in three; a pair without text on one side is left out."""
    heads, middles, tails = [], [], []
    with open_plain(corpus) as file:
        for line in file:
            told: dict[str, Any] = json.loads(line)
            src, tgt = told.pop("ru").split(), told.pop("en").split()
            if not src or not tgt:
                continue
            left, right = _halves(src), _halves(tgt)
            rest = json.dumps(told, ensure_ascii=False)[1:]
            heads.append(f'{{"ru": {left[0]}'.encode())
            middles.append(f'{left[1]}, "en": {right[0]}'.encode())
            tails.append(f"{right[1]}{', ' if told else ''}{rest}\n".encode())
    # spread out, so that neighbours have unlike names
    names = np.arange(len(heads), dtype=np.int64) * 7_919 % _NUM_NAMES
    return Base(heads, middles, tails, names)


def _halves(words: list[str]) -> tuple[str, str]:
    """A JSON string of the words, cut behind one of the middle."""
    place = (len(words) + 1) // 2
    whole = " ".join(words)
    cut = len(" ".join(words[:place]))
    return json.dumps(whole[:cut], ensure_ascii=False)[:-1], (
        json.dumps(whole[cut:], ensure_ascii=False)[1:]
    )


def lines(base: Base, copy: int) -> Iterator[bytes]:
    """The lines of one copy."""
    if not copy:
        return map(b"".join, zip(base.heads, base.middles, base.tails, strict=True))
    names = (base.names + copy * _STRIDE) % _NUM_NAMES
    src, tgt = _spelled(names, 0), _spelled(names, 1)
    return map(b"".join, zip(base.heads, src, base.middles, tgt, base.tails, strict=True))


def _spelled(names: npt.NDArray[np.int64], side: int) -> list[bytes]:
    """A space and the name, in one language."""
    syllables = np.array([pair[side].encode() for pair in _SYLLABLES], object)
    number = len(_SYLLABLES)
    first, second, third = names // number**2, names // number % number, names % number
    spelled: list[bytes] = (b" " + syllables[first] + syllables[second] + syllables[third]).tolist()
    return spelled


def expand(corpus: Path, pairs: int, folder: Path) -> list[Path]:
    """Write parts that are not there yet; each is there whole or not at all."""
    parts = [folder / f"part-{number:04d}.jsonl.zst" for number in range(-(-pairs // PART_PAIRS))]
    if all(part.exists() for part in parts):
        return parts
    folder.mkdir(parents=True, exist_ok=True)
    base = read_base(corpus)
    everything = itertools.chain.from_iterable(lines(base, copy) for copy in itertools.count())
    for number, part in enumerate(parts):
        wanted = min(PART_PAIRS, pairs - number * PART_PAIRS)
        chosen = itertools.islice(everything, wanted)
        if part.exists():
            for _ in chosen:
                pass
            continue
        temporary = part.with_suffix(".new")
        with zstandard.open(temporary, "wb", cctx=zstandard.ZstdCompressor(level=1)) as file:
            while piece := b"".join(itertools.islice(chosen, 10_000)):
                file.write(piece)
        temporary.replace(part)
    return parts


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("pairs", type=int)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    expand(options.corpus, options.pairs, options.folder)


if __name__ == "__main__":
    main()
