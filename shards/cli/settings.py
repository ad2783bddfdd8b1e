"""YAML file < environment < command line → one validated settings object.

A settings class is a plain pydantic model; here it becomes options, and is filled in layers.
"""

import functools
import inspect
import json
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from shards.cli.mistakes import (
    Layer,
    Location,
    describe_errors,
    dotted,
    hint,
    shown,
    without_secrets,
)
from shards.errors import PrometheusError

Model = TypeVar("Model", bound=BaseModel)
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with settings; see docs/configuration.md."),
]


class ConfigurationError(PrometheusError):
    """A setting is unknown or has a value that cannot work."""


def load_settings(
    model: type[Model],
    *,
    prefix: str,
    consequence: str,
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
    flags: Mapping[str, str] | None = None,
) -> Model:
    """Fill a settings model from its three layers, with `base` below them instead of defaults.

    Errors say the `consequence`, and call an override by its flag, where that is not the setting's.

    Raises:
        ConfigurationError: on an unknown key (with the nearest known one) or a bad value.
    """
    variables = _read_variables(model, prefix, consequence)
    from_environment = {name: value for name, (_, value) in variables.items()}
    from_file = _read_file(config, consequence)

    def flag(location: Location) -> str:
        name = str(location[0])
        return (flags or {}).get(name) or _flag(name, model.model_fields[name])

    def variable(location: Location) -> str:
        return dotted((variables[str(location[0])][0], *location[1:]))

    layers = (
        Layer(overrides or {}, flag),
        Layer(from_environment, variable),
        Layer(from_file, place=f" in {config}"),
        Layer(base or {}, place=" of the run"),
    )
    try:
        return model.model_validate(
            {**(base or {}), **from_file, **from_environment, **(overrides or {})}
        )
    except ValidationError as error:
        raise ConfigurationError(
            describe_errors(error, model, layers, consequence=consequence)
        ) from error


def _read_file(config: Path | None, consequence: str) -> dict[str, Any]:
    if config is None:
        return {}
    if not config.is_file():
        raise ConfigurationError(
            f"settings file {config} is not there; {consequence}; check --config"
        )
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = without_secrets(
            " ".join(str(error).replace('in "<unicode string>", ', "").split())
        )
        raise ConfigurationError(
            f"settings file {config} cannot be read ({reason}); {consequence}; write YAML in UTF-8"
        ) from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"settings file {config} cannot be read: it is no mapping; {consequence}; write "
            "`setting: value` in each line"
        )
    return {str(name): value for name, value in values.items()}


def _read_variables(
    model: type[BaseModel], prefix: str, consequence: str
) -> dict[str, tuple[str, Any]]:
    """Settings that the environment gives, each with its variable's name."""
    found = {}
    for variable in sorted(os.environ):
        if not variable.startswith(prefix):
            continue
        name = variable.removeprefix(prefix).lower()
        if name not in model.model_fields:
            raise ConfigurationError(
                f"environment variable {variable}: unknown setting {name!r}{hint(name, model)}; "
                f"{consequence}"
            )
        value: Any = os.environ[variable]
        if _option_type(model.model_fields[name].annotation)[0] == list[str]:
            try:
                value = json.loads(value) if value.lstrip().startswith("[") else [value]
            except (ValueError, RecursionError) as error:
                raise ConfigurationError(
                    f"setting {variable} = {shown(value)}: it is no list in JSON ({error}); give "
                    f"one, or one item; {consequence}"
                ) from error
        found[name] = (variable, value)
    return found


def settings_options(
    model: type[BaseModel],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a typer command that takes `overrides`: every setting becomes an option of it."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        kept = [parameter for name, parameter in own.items() if name != "overrides"]
        options = [_option(name, field) for name, field in model.model_fields.items()]

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            given = {option.name: values.pop(option.name) for option in options}
            # typer turns a list option that was not given into an empty list or None
            command(overrides={k: v for k, v in given.items() if v not in (None, [])}, **values)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept] + options
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        del wrapper.__wrapped__
        return wrapper

    return decorate


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, metavar = _option_type(field.annotation)
    flag = _flag(name, field)
    if kind is bool:
        flag = f"{flag}/--no-{name.replace('_', '-')}"
    notes = "; ".join(_notes(field))
    option = typer.Option(
        flag,
        help=f"{field.description} ({notes})" if notes else field.description,
        show_default=False,
        metavar=metavar,
        rich_help_panel=field.title or "Settings",
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _flag(name: str, field: FieldInfo) -> str:
    flag = f"--{name.replace('_', '-')}"
    # a list's is given once for each item
    return flag.removesuffix("s") if _option_type(field.annotation)[0] == list[str] else flag


def _notes(field: FieldInfo) -> Iterator[str]:
    """What the help adds to a setting's description."""
    if _option_type(field.annotation)[0] == list[str]:
        yield "may be given several times"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, bool):
        yield f"default: {'on' if default else 'off'}"
    elif default not in (None, [], ""):
        yield f"default: {default}"


def _option_type(annotation: Any) -> tuple[Any, str | None]:
    """The type typer parses, and the words shown for it: pydantic checks the value afterwards."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        inner = [part for part in typing.get_args(annotation) if part is not types.NoneType]
        return _option_type(inner[0])
    if typing.get_origin(annotation) is Literal:
        return str, "|".join(str(value) for value in typing.get_args(annotation))
    if typing.get_origin(annotation) in (list, tuple):
        return list[str], "<str>"
    if annotation in (int, float):
        return str, f"<{annotation.__name__}>"  # typer would refuse it in words of its own
    return annotation, None
