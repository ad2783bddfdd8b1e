"""The settings classes, the command lines and the Compose files → the tables of configuration.md.

python docs/generate.py           writes the parts between the markers anew
python docs/generate.py --check   writes nothing; exit status 1 when they are stale
"""

import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import dataservice.cli
import dataservice.settings
import trainer.cli
import trainer.config
from dataservice.filter_settings import FilterSettings
from dataservice.settings import BuildSettings, ServiceSettings
from dataservice.source_settings import SourceSettings
from trainer.config import TRAJECTORY, TrainSettings

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "configuration.md"
_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_COMPOSE = re.compile(r"^ +(\w+): \$\{\1:-(.*)\}$", re.MULTILINE)
_IMAGE = re.compile(r"\b((?:DATASERVICE|TRAINER)_\w+)=(\S+)")


def render(page: str) -> str:
    """A page with every generated part written anew.

    Raises:
        KeyError: when a marker names a part that nobody writes.
    """
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "build": lambda: settings_tables(BuildSettings, dataservice.settings.ENV_PREFIX, build),
        "server": lambda: settings_tables(
            ServiceSettings,
            dataservice.settings.ENV_PREFIX,
            command(dataservice.cli.app, "serve"),
            leave_out=BuildSettings,
        ),
        "source": source_table,
        "train": lambda: settings_tables(TrainSettings, trainer.config.ENV_PREFIX, train),
        "trajectory": lambda: iter([", ".join(f"`{name}`" for name in TRAJECTORY) + "."]),
        "options": options_tables,
        "containers": container_table,
    }
    build = command(dataservice.cli.app, "build")
    train = command(trainer.cli.app, "train")
    return _PART.sub(
        lambda match: match[1] + "\n" + "\n".join(parts[match[2]]()) + "\n\n" + match[3], page
    )


def command(app: typer.Typer, name: str) -> list[Any]:
    """The options of a command, as the command line itself knows them."""
    group: Any = typer.main.get_command(app)
    return list(group.commands[name].params)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def settings_tables(
    model: type[BaseModel],
    prefix: str,
    options: Sequence[Any],
    *,
    leave_out: type[BaseModel] | None = None,
) -> Iterator[str]:
    """One table for each group of settings."""
    flags = {option.name: flag(option) for option in options}
    known: Mapping[str, FieldInfo] = leave_out.model_fields if leave_out else {}
    fields = {name: field for name, field in model.model_fields.items() if name not in known}
    # a class's own groups come before that of filters, which it inherits
    fields = dict(sorted(fields.items(), key=lambda item: item[0] in FilterSettings.model_fields))
    for number, title in enumerate(dict.fromkeys(field.title for field in fields.values())):
        if number:
            yield ""
        yield f"### {title}"
        yield ""
        rows = [
            (f"`{name}`", flags[name], f"`{prefix}{name.upper()}`", default(field), meaning(field))
            for name, field in fields.items()
            if field.title == title
        ]
        yield from table(("Setting", "Option", "Variable", "Default", "Meaning"), rows)


def source_table() -> Iterator[str]:
    """The keys of one source in YAML or JSON."""
    rows = [(f"`{name}`", meaning(field)) for name, field in SourceSettings.model_fields.items()]
    return table(("Key", "Meaning"), rows)


def options_tables() -> Iterator[str]:
    """What each command takes besides its settings."""
    commands: tuple[tuple[str, typer.Typer, type[BaseModel] | None], ...] = (
        ("dataservice build", dataservice.cli.app, BuildSettings),
        ("dataservice serve", dataservice.cli.app, ServiceSettings),
        ("dataservice verify", dataservice.cli.app, None),
        ("dataservice export", dataservice.cli.app, None),
        ("dataservice gc", dataservice.cli.app, None),
        ("trainer train", trainer.cli.app, TrainSettings),
        ("trainer plan", trainer.cli.app, TrainSettings),
        ("trainer check", trainer.cli.app, TrainSettings),
        ("trainer trace", trainer.cli.app, None),
        ("trainer generate", trainer.cli.app, None),
    )
    for number, (name, app, model) in enumerate(commands):
        settings = model.model_fields if model else {}
        options = [
            option
            for option in command(app, name.split()[1])
            if option.name not in settings and option.name != "help"
        ]
        if number:
            yield ""
        yield f"### `{name}`"
        yield ""
        rows = [(flag(option), shown(option.default), str(option.help)) for option in options]
        yield from table(("Option", "Default", "Meaning"), rows)


def container_table() -> Iterator[str]:
    """Where Compose and the images set something else than the programs' own defaults."""
    rows = []
    for file in ("docker/dataservice.Dockerfile", "docker/trainer.Dockerfile"):
        for name, value in _IMAGE.findall((ROOT / file).read_text(encoding="utf-8")):
            rows.append((f"`{name}`", f"`{value}`", f"[{file}](../{file})"))
    for file in ("docker-compose.yml", "docker/gpu.yml"):
        for name, value in _COMPOSE.findall((ROOT / file).read_text(encoding="utf-8")):
            rows.append((f"`{name}`", f"`{value}`", f"[{file}](../{file})"))
    return table(("Variable", "Value", "Set by"), rows)


def flag(option: Any) -> str:
    """How an option or an argument is written."""
    if not option.opts[0].startswith("-"):
        return f"`{option.name.upper()}`"
    return " ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def default(field: FieldInfo) -> str:
    return shown(field.get_default(call_default_factory=True))


def shown(value: object) -> str:
    """A default value, for people."""
    if value is None or value in ([], "") or value is ...:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`"


def meaning(field: FieldInfo) -> str:
    """The description of a setting and the values it takes."""
    values = allowed(field)
    return f"{field.description} ({values})" if values else str(field.description)


def allowed(field: FieldInfo) -> str:
    """The values that a setting takes, where its type alone does not say it."""
    if choices := _choices(field.annotation):
        return ", ".join(f"`{choice}`" for choice in choices)
    if typing.get_origin(field.annotation) is list:
        return "may be given several times"
    bounds = {
        name: getattr(part, name)
        for part in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(part, name, None) is not None
    }
    low = f"above {bounds['gt']:,}" if "gt" in bounds else f"{bounds.get('ge', 0):,}"
    if "le" in bounds:
        return f"{low} to {bounds['le']:,}"
    if "lt" in bounds:
        return f"{low} to below {bounds['lt']:,}"
    return low if "gt" in bounds else f"{low} or more" if bounds.get("ge") else ""


def _choices(annotation: Any) -> tuple[str, ...]:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return tuple(choice for part in typing.get_args(annotation) for choice in _choices(part))
    if typing.get_origin(annotation) is Literal:
        return tuple(map(str, typing.get_args(annotation)))
    return ()


def main() -> None:
    """Write the page, or say that it is stale."""
    old = PAGE.read_text(encoding="utf-8")
    new = render(old)
    if "--check" in sys.argv[1:]:
        if new != old:
            sys.exit(f"{PAGE.relative_to(ROOT)} is stale; run `make docs`")
        return
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
