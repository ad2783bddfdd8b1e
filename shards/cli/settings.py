"""YAML file < environment < command line → one validated settings object.

A settings class is a plain pydantic model; here it becomes options, and is filled in layers.
"""

import difflib
import functools
import inspect
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
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
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
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Model:
    """Fill a settings model from its three layers, with `base` below them instead of defaults.

    Raises:
        ConfigurationError: on an unknown key (with the nearest known one) or a bad value.
    """
    _reject_unknown_variables(model, prefix)

    class Layered(model, BaseSettings):  # type: ignore[misc, valid-type]  # a class made at run time
        model_config = SettingsConfigDict(env_prefix=prefix, extra="forbid")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            layers = [init_settings, env_settings]
            if config is not None:
                layers.append(YamlConfigSettingsSource(settings_cls, yaml_file=config))
            return (*layers, InitSettingsSource(settings_cls, init_kwargs=dict(base or {})))

    if config is not None and not config.is_file():
        raise ConfigurationError(f"settings file {config} is not there; check --config")
    try:
        return model.model_validate(Layered(**dict(overrides or {})).model_dump())
    except ValidationError as error:
        raise ConfigurationError(describe_errors(error, model)) from error
    except (SettingsError, ValueError, TypeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"settings cannot be read: {' '.join(str(error).split())}"
        ) from error


def describe_errors(error: ValidationError, model: type[BaseModel]) -> str:
    """Every problem of a failed validation, each with its setting, value and remedy."""
    problems = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown setting {name!r}{_hint(name, model)}")
        elif item["loc"]:
            message = item["msg"].removeprefix("Value error, ")
            problems.append(f"setting {name} = {item['input']!r}: {message}")
        else:
            problems.append(item["msg"].removeprefix("Value error, "))
    return "; ".join(problems)


def _hint(name: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(name, model.model_fields, n=1)
    return f"; did you mean {near[0]!r}?" if near else "; `--help` lists the known ones"


def _reject_unknown_variables(model: type[BaseModel], prefix: str) -> None:
    for variable in sorted(os.environ):
        name = variable.removeprefix(prefix).lower()
        if variable.startswith(prefix) and name not in model.model_fields:
            raise ConfigurationError(
                f"environment variable {variable}: unknown setting {name!r}{_hint(name, model)}"
            )


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
    flag = f"--{name.replace('_', '-')}"
    if kind is bool:
        flag = f"{flag}/--no-{name.replace('_', '-')}"
    elif kind == list[str]:
        flag = flag.removesuffix("s")  # given once for each item
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
    return annotation, None
