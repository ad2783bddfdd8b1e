"""A failed validation → a sentence that names each setting as it was written, and what it takes."""

import difflib
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_MAX_VALUE_CHARS: Final = 200
_KNOWN: Final = "`--help` lists the known ones"
_KINDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "text",
    Path: "a path",
    list: "a list",
    dict: "a mapping",
}

_USER: Final = re.compile(r"://[^/\s'\"]*@")
# up to a comma that ends the text: it would divide two files
_QUERY: Final = re.compile(r"(://[^\s'\"?#]*)[?#][^\s'\"]*?(?=,?(?:[\s'\"]|$))")

Location = tuple[str | int, ...]


def dotted(location: Location) -> str:
    """A setting and the way into it, as YAML and JSON have it: `sources.0.year`."""
    return ".".join(str(part) for part in location if part != "[key]")


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings as they were given in one place, and what they are called there."""

    values: Mapping[str, Any]
    spell: Callable[[Location], str] = dotted
    place: str = ""


def describe_errors(
    error: ValidationError,
    model: type[BaseModel],
    layers: Sequence[Layer] = (),
    *,
    consequence: str,
    known: str = _KNOWN,
) -> str:
    """Every problem of a failed validation, and what comes of it; the first layers win.

    `known` says where all settings are found.
    """
    problems = [_describe(item, model, layers, known) for item in error.errors()]
    return "; ".join([*problems, consequence])


def takes(field: FieldInfo) -> str:
    """What may be given for a field, as the end of a sentence."""
    return _Slot.of(field).takes()


def hint(name: str, model: type[BaseModel], otherwise: str = _KNOWN) -> str:
    """The known setting that is nearest to an unknown one, or where to find them all."""
    near = difflib.get_close_matches(name.lower(), model.model_fields, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; {otherwise}"


def _describe(
    item: ErrorDetails, model: type[BaseModel], layers: Sequence[Layer], known: str
) -> str:
    location = item["loc"]
    own_words = item["msg"].removeprefix("Value error, ") if item["type"] == "value_error" else ""
    if not location:
        if own_words:
            return own_words
        reason = item.get("ctx", {}).get("error", "give names and values")
        return f"{shown(item['input'])} is no mapping of settings: {reason}"
    layer = next((given for given in layers if location[0] in given.values), Layer({}))
    if item["type"] in ("extra_forbidden", "invalid_key"):
        owner = _slot_at(location[:-1], model)
        otherwise = known if owner.annotation is model else f"give {owner.takes()}"
        nearest = hint(str(location[-1]), owner.annotation, otherwise)
        return f"unknown setting {layer.spell(location)!r}{layer.place}{nearest}"
    what = own_words or f"give {_slot_at(location, model).takes()}"
    is_missing = item["type"] == "missing"
    is_what = "is missing" if is_missing else f"= {shown(_given(item, layer.values))}"
    return f"setting {layer.spell(location)} {is_what}{layer.place}: {what}"


def _given(item: ErrorDetails, values: Mapping[str, Any]) -> Any:
    """The value as it was written, which may be one text for several parts."""
    first, *rest = item["loc"]
    value = values.get(str(first), item["input"])
    for part in rest:
        known = part in value if isinstance(value, dict) else isinstance(value, list)
        if not known:
            return value if isinstance(item["input"], dict) else item["input"]
        value = value[part]
    return value


def shown(value: object) -> str:
    """A value as it may be written down: as YAML and JSON have it, not too long, no secrets."""
    if isinstance(value, bool | None):
        text = json.dumps(value)
    elif isinstance(value, bytes):
        text = repr(value.decode(errors="replace"))
    else:
        text = str(value) if isinstance(value, date) else repr(value)
    text = without_secrets(text)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}…"


def without_secrets(text: str) -> str:
    """A text without the users, keys and queries of the URLs in it."""
    return _QUERY.sub(r"\1?…", _USER.sub("://…@", text))


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a value belongs: its type, and what bounds it."""

    annotation: Any
    metadata: Sequence[Any] = ()
    examples: Sequence[Any] = ()

    @classmethod
    def of(cls, field: FieldInfo) -> "_Slot":
        """A field's slot, for what it takes when it is not left out."""
        annotation, metadata = field.annotation, list(field.metadata)
        if typing.get_origin(annotation) in (types.UnionType, typing.Union):
            parts = typing.get_args(annotation)
            inner = cls.within(next(part for part in parts if part is not types.NoneType))
            annotation, metadata = inner.annotation, [*metadata, *inner.metadata]
        return cls(annotation, metadata, field.examples or ())

    @classmethod
    def within(cls, annotation: Any) -> "_Slot":
        return cls.of(FieldInfo.from_annotation(annotation))

    def takes(self) -> str:
        """What may be given, as the end of a sentence."""
        if typing.get_origin(self.annotation) is Literal:
            return _either(map(str, typing.get_args(self.annotation)))
        if isinstance(self.annotation, type) and issubclass(self.annotation, BaseModel):
            return f"a mapping with {', '.join(self.annotation.model_fields)}"
        kind = _KINDS.get(typing.get_origin(self.annotation) or self.annotation, "another value")
        if self.examples:
            return f"{kind} such as {_either(map(repr, self.examples))}"
        return f"{kind}{self._range()}"

    def _range(self) -> str:
        bound = {
            name: getattr(part, name)
            for part in self.metadata
            for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
            if hasattr(part, name)
        }
        if "max_length" in bound:
            return f" of {bound.get('min_length', 0)} to {bound['max_length']} characters"
        low = f" from {bound['ge']}" if "ge" in bound else ""
        low = f" above {bound['gt']}" if "gt" in bound else low
        if "le" in bound:
            return f"{low}{', at most' if 'gt' in bound else ' to'} {bound['le']}"
        if "lt" in bound:
            return f"{low} to below {bound['lt']}"
        return low.replace("from", "of at least")


def _either(choices: Iterable[str]) -> str:
    *most, last = choices
    return f"{', '.join(most)} or {last}"


def _slot_at(location: Location, model: type[BaseModel]) -> _Slot:
    """Where a way into a model ends."""
    slot = _Slot(model)
    key: Any = None
    for part in location:
        parts = typing.get_args(slot.annotation)
        if part == "[key]":
            slot = _Slot.within(key)
        elif typing.get_origin(slot.annotation) is dict:
            key, inner = parts
            slot = _Slot.within(inner)
        elif typing.get_origin(slot.annotation) is list:
            slot = _Slot.within(parts[0])
        else:
            slot = _Slot.of(slot.annotation.model_fields[part])
    return slot
