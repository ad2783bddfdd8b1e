"""Every command's --help on a terminal of 80 columns → its options, by their whole names."""

import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import dataservice.cli
import trainer.cli

_APPS = {"dataservice": dataservice.cli.app, "trainer": trainer.cli.app}
_WIDTH = 80


def commands() -> list[tuple[str, str]]:
    found = []
    for program, app in _APPS.items():
        group: Any = typer.main.get_command(app)
        found += [(program, name) for name in group.commands]
    return found


def shown(app: typer.Typer, *arguments: str) -> str:
    told = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": str(_WIDTH)})
    assert told.exit_code == 0
    return told.stdout


@pytest.mark.parametrize(("program", "name"), commands())
def test_options_are_named_whole_at_80_columns(program: str, name: str) -> None:
    group: Any = typer.main.get_command(_APPS[program])
    names = {
        flag
        for option in group.commands[name].params
        if option.opts[0].startswith("-")
        for flag in (*option.opts, *option.secondary_opts)
    }
    told = shown(_APPS[program], name)
    assert max(map(len, told.splitlines())) <= _WIDTH
    assert names <= set(re.findall(r"(?<!\S)-[\w-]+(?=[\s,])", told)), told


def test_options_stand_in_their_groups_with_what_they_take() -> None:
    told = " ".join(shown(_APPS["trainer"], "train").split())
    device = told.partition(" Device: ")[2].partition(" Run: ")[0]
    assert "--amp auto|fp16|bf16|off Mixed precision; auto: what the device is good at" in device
    assert "--seed <int>" not in device
    assert "--author <str> Read these authors only (may be given several times)" in told
    assert "--tensorboard / --no-tensorboard Write TensorBoard events, too (default: on)" in told
    assert "(default: )" not in told


@pytest.mark.parametrize("program", _APPS)
def test_the_list_of_commands_says_the_whole_of_their_first_sentence(program: str) -> None:
    group: Any = typer.main.get_command(_APPS[program])
    told = " ".join(shown(_APPS[program]).split())
    for name, command in group.commands.items():
        assert f"{name} {' '.join(command.help.partition(chr(10) * 2)[0].split())}" in told
