"""Values that cannot work, by every way in → the setting as it was written, and what it takes."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from dataservice.cli import main
from dataservice.settings import ServiceSettings
from dataservice.web.app import create_app

_SOURCE = (
    "a mapping with path, src, tgt, format, fields, config, split, name, author, city, year, "
    "public_only"
)
_ONE_FORM = "a source is either `path`, or `src` and `tgt` together"
_NAMES = (
    "cannot be used in a URL and a folder; take up to 64 of A-Z a-z 0-9 . _ - , a letter or "
    "digit first, and not 'blobs'"
)

VALUES: list[tuple[str, Any, str]] = [
    ("vocab_size", 1, "give a whole number from 400 to 1000000"),
    ("demo_pairs", -5, "give a whole number of at least 400"),
    ("default_year", 10_000, "give a whole number from 0 to 9999"),
    ("max_lost_placeholders", -2, "give a whole number of at least -1"),
    ("val_fraction", 1.0, "give a finite number from 0 to below 1"),
    ("val_fraction", -0.5, "give a finite number from 0 to below 1"),
    ("character_coverage", 0.0, "give a finite number above 0, at most 1"),
    ("max_length_ratio", 0.5, "give a finite number of at least 1"),
    ("damaged", "maybe", "give error or skip"),
    ("near_duplicates", "on", "give off, normalized or minhash"),
    ("src_lang", "RU", "give text such as 'ru' or 'pt-BR'"),
    ("tgt_lang", "e", "give text such as 'en', 'sr-Latn' or ''"),
    ("match_ends", "x", "give text such as '?!' or '?!…:.'"),
    (
        "default_author",
        "!!",
        "it has no letter or digit that a tag could keep; give another name",
    ),
    ("name", "../x", f"data set name '../x' {_NAMES}"),
    ("name", "", f"data set name '' {_NAMES}"),
]
# which are texts by every way in
TEXTS: list[tuple[str, str, str]] = [
    ("vocab_size", "many", "give a whole number from 400 to 1000000"),
    ("vocab_size", "500.5", "give a whole number from 400 to 1000000"),
    ("vocab_size", "9" * 5000, "give a whole number from 400 to 1000000"),
    ("demo_seed", "", "give a whole number"),
    ("max_length_ratio", "inf", "give a finite number of at least 1"),
    ("min_script_share", "nan", "give a finite number from 0 to 1"),
]
OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"vocab_size": [1]}, "setting vocab_size = [1]: give a whole number from 400 to 1000000"),
    ({"min_chars": None}, "setting min_chars = null: give a whole number of at least 1"),
    ({"name": 5}, "setting name = 5: give text"),
    ({"src_lang": False}, "setting src_lang = false: give text such as 'ru' or 'pt-BR'"),
    ({"drop_identical": "perhaps"}, "setting drop_identical = 'perhaps': give true or false"),
    ({"sources": ""}, f"setting sources.0 = '': {_ONE_FORM}"),
    (
        {"sources": ["https://me:key@host/a.txt?sig=key,"]},
        f"setting sources.0 = 'https://…@host/a.txt?…,': {_ONE_FORM}",
    ),
    (
        {"sources": [{"src": "s3://key@b/a.txt#key"}]},
        f"setting sources.0 = {{'src': 's3://…@b/a.txt?…'}}: {_ONE_FORM}",
    ),
    ({"sources": 5}, f"setting sources.0 = 5: give {_SOURCE}"),
    ({"test_sources": ["a", 5]}, f"setting test_sources.1 = 5: give {_SOURCE}"),
    ({"sources": ["a.txt,"]}, f"setting sources.0 = 'a.txt,': {_ONE_FORM}"),
    ({"sources": "a.txt,"}, f"setting sources.0 = 'a.txt,': {_ONE_FORM}"),
    ({"sources": {"src": "a"}}, f"setting sources.0 = {{'src': 'a'}}: {_ONE_FORM}"),
    ({"sources": [{"path": 5}]}, "setting sources.0.path = 5: give text"),
    (
        {"sources": [{"path": "a", "year": "x"}]},
        "setting sources.0.year = 'x': give a whole number",
    ),
    (
        {"sources": [{"path": "a", "format": "doc"}]},
        "setting sources.0.format = 'doc': give jsonl, tsv, txt, parquet, tmx, po or mo",
    ),
    (
        {"sources": [{"path": "a", "fields": 5}]},
        "setting sources.0.fields = 5: give a mapping",
    ),
    (
        {"sources": [{"path": "a", "fields": {"colour": "x"}}]},
        "setting sources.0.fields.colour = 'colour': give src, tgt, author, city, year or source",
    ),
    (
        {"sources": [{"path": "a", "fields": {"src": 5}}]},
        "setting sources.0.fields.src = 5: give text",
    ),
    (
        {"sources": [{"path": "a", "formt": "tsv"}]},
        "unknown setting 'sources.0.formt'; did you mean 'format'?",
    ),
    (
        {"sources": [{"path": "a", "qqq": 1}]},
        f"unknown setting 'sources.0.qqq'; give {_SOURCE}",
    ),
    ({"vocab_sise": 1}, "unknown setting 'vocab_sise'; did you mean 'vocab_size'?"),
    ({"VOCAB_SIZE": 1}, "unknown setting 'VOCAB_SIZE'; did you mean 'vocab_size'?"),
    (
        {"src_lang": "en"},
        "src_lang and tgt_lang are both 'en'; give two, or an empty tgt_lang for texts without a "
        "translation",
    ),
    (
        {"vocab_size": 1, "max_chars": 0},
        "setting max_chars = 0: give a whole number from 1 to 250000; "
        "setting vocab_size = 1: give a whole number from 400 to 1000000",
    ),
]
EVERY = [({name: value}, f"setting {name} = {value!r}: {takes}") for name, value, takes in VALUES]


def build_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    """The one line that a build ends with."""
    monkeypatch.setattr(sys, "argv", ["dataservice", "build", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert not Path("data").exists()
    return str(line.removeprefix("error: "))


def shortened(value: str) -> str:
    return repr(value) if len(value) < 200 else f"{value!r:.200}…"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "value", "takes"), VALUES + TEXTS)
def test_an_option_is_named_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: Any,
    takes: str,
) -> None:
    option = f"--{name.replace('_', '-')}"
    told = build_error(monkeypatch, capsys, f"{option}={value}")
    assert told == f"setting {option} = {shortened(str(value))}: {takes}; nothing was built"


@pytest.mark.parametrize(("name", "value", "takes"), VALUES + TEXTS)
def test_a_variable_is_named_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: Any,
    takes: str,
) -> None:
    variable = f"DATASERVICE_{name.upper()}"
    monkeypatch.setenv(variable, str(value))
    told = build_error(monkeypatch, capsys)
    assert told == f"setting {variable} = {shortened(str(value))}: {takes}; nothing was built"


@pytest.mark.parametrize(("given", "problem"), EVERY + OTHERS)
def test_a_line_of_the_file_is_named_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: Mapping[str, Any],
    problem: str,
) -> None:
    Path("settings.yaml").write_text(yaml.safe_dump(dict(given)), encoding="utf-8")
    told = build_error(monkeypatch, capsys, "--config", "settings.yaml")
    assert told.replace(" in settings.yaml", "") == f"{problem}; nothing was built"
    if not problem.startswith("src_lang and"):
        assert " in settings.yaml" in told


@pytest.mark.parametrize(
    ("given", "problem"),
    EVERY
    + OTHERS
    + [
        ({name: value}, f"setting {name} = {shortened(value)}: {takes}")
        for name, value, takes in TEXTS
    ],
)
def test_a_key_of_a_request_is_named_as_it_was_written(
    tmp_path: Path, given: Mapping[str, Any], problem: str
) -> None:
    settings = ServiceSettings(data_dir=tmp_path / "data", build_on_start=False)
    with TestClient(create_app(settings)) as client:
        response = client.post("/reshard", json=given)
        assert response.json() == {"detail": f"{problem}; nothing was queued"}
        assert response.status_code == 422
        assert client.get("/jobs").json() == {"jobs": []}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"path": "a", "year": "x"}]', "SOURCES.0.year = 'x': give a whole number"),
        ("a.txt,", f"SOURCES.0 = 'a.txt,': {_ONE_FORM}"),
        ('["a.tsv", "a.txt,"]', f"SOURCES.1 = 'a.txt,': {_ONE_FORM}"),
        ("[" * 10_000, "SOURCES = '[[["),
        ("[1", "SOURCES = '[1': it is no list in JSON (Expecting ',' delimiter"),
    ],
)
def test_sources_in_the_environment_are_named_with_their_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    monkeypatch.setenv("DATASERVICE_SOURCES", text)
    told = build_error(monkeypatch, capsys)
    assert told.startswith(f"setting DATASERVICE_{problem}")
    assert told.endswith("; nothing was built")


def test_a_variable_in_small_letters_is_named_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATASERVICE_vocab_size", "1")
    assert build_error(monkeypatch, capsys).startswith("setting DATASERVICE_vocab_size = '1': ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: 2024-01-01", "setting name = 2024-01-01 in s.yaml: give text"),
        ("sources: [{path: a, 1: b}]", "unknown setting 'sources.0.1' in s.yaml; give a mapping"),
        ("0", "settings file s.yaml cannot be read: it is no mapping"),
        ("sources: [https://me:key@host/a?sig=key", "https://…@host/a?… ^ expected ',' or ']'"),
    ],
)
def test_what_yaml_alone_can_say_is_told_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    Path("s.yaml").write_text(text)
    line = build_error(monkeypatch, capsys, "--config", "s.yaml")
    assert told in line
    assert "key" not in line


def test_a_request_is_told_where_the_settings_are(tmp_path: Path) -> None:
    settings = ServiceSettings(data_dir=tmp_path / "data", build_on_start=False)
    with TestClient(create_app(settings)) as client:
        for path, done in (("/reshard", "queued"), ("/gc", "done")):
            assert client.post(path, json={"qqq": 1}).json()["detail"] == (
                f"unknown setting 'qqq'; GET /openapi.json lists the known ones; nothing was {done}"
            )
        told = client.post("/gc", content=b"{").json()["detail"]
        assert told.startswith("'{' is no mapping of settings: EOF")


def test_a_source_option_is_named_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = build_error(monkeypatch, capsys, "--source", "a.tsv", "--source", ",b.txt")
    assert told == f"setting --source = ',b.txt': {_ONE_FORM}; nothing was built"


def test_the_layer_that_wins_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("settings.yaml").write_text("vocab_size: 2\nmin_chars: 0\n")
    monkeypatch.setenv("DATASERVICE_VOCAB_SIZE", "3")
    monkeypatch.setenv("DATASERVICE_ZSTD_LEVEL", "0")
    told = build_error(monkeypatch, capsys, "--config", "settings.yaml", "--vocab-size", "4")
    assert re.findall(r"setting (.+?): give", told) == [
        "min_chars = 0 in settings.yaml",
        "--vocab-size = '4'",
        "DATASERVICE_ZSTD_LEVEL = '0'",
    ]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            ["gc", "--keep", "0"],
            "setting --keep = '0': give a whole number of at least 1; nothing was",
        ),
        (["gc", "--grace-s=-1"], "setting --grace-s = '-1': give a whole number of at least 0"),
        (["gc", "--keep", "many"], "setting --keep = 'many': give a whole number of at least 1"),
        (["serve", "--port", "99999"], "give a whole number from 0 to 65535; nothing is served"),
        (["build", "--progress", "x"], "--progress x is unknown; nothing was built; use bar or"),
        (["export", "u", "out", "--tags", "x"], "--tags x is unknown; nothing was exported; use"),
    ],
)
def test_every_command_says_what_comes_of_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    told: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["dataservice", *command, "--json"])
    with pytest.raises(SystemExit):
        main()
    assert told in json.loads(capsys.readouterr().out)["error"]
