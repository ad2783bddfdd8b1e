"""The command line → results for people and programs; mistakes are one line and no traceback."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataservice.cli import app, main
from dataservice.prepare.build import BuildResult
from tests.dataservice.prepare.builds import tagged_rows, write_rows
from tests.shards.helpers import fill_store

COMMANDS = ["build", "serve", "verify", "report", "export", "push", "gc"]


@dataclass(frozen=True)
class Outcome:
    """What a command line left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def result(self) -> Any:
        """The JSON object on stdout, which must be alone there."""
        return json.loads(self.stdout)


Run = Callable[..., Outcome]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["dataservice", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert isinstance(stop.value.code, int)
        captured = capsys.readouterr()
        return Outcome(stop.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "corpus.jsonl", tagged_rows(200))


def quick(corpus: Path) -> list[str]:
    """Options of a build that takes a moment."""
    options = ["--source", str(corpus), "--processes", "1", "--vocab-size", "600"]
    return [*options, "--near-duplicates", "off"]  # the pairs differ by a number alone


def one_error(outcome: Outcome, *told: str) -> str:
    """The single line that a failed command says; it must hold all of `told`."""
    assert outcome.status == 1
    assert "Traceback" not in outcome.stderr + outcome.stdout
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("error: ")
    for part in told:
        assert part in line
    return line


def test_the_program_lists_its_commands(cli: Run) -> None:
    outcome = cli("--help")
    assert outcome.status == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", outcome.stdout)
    assert {command.name for command in app.registered_commands} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help_with_an_example(cli: Run, command: str, flag: str) -> None:
    outcome = cli(command, flag)
    assert outcome.status == 0
    assert f"Example: dataservice {command}" in " ".join(outcome.stdout.split())


def test_every_setting_is_an_option_with_a_description_and_its_default(cli: Run) -> None:
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", cli("serve", "--help").stdout).split())
    for option in ("--source ", "--vocab-size", "--val-fraction", "--data-dir", "--port"):
        assert option in text
    assert "(default: 3000)" in text
    assert "(default: MagistrTheOne)" in text
    assert "--build-on-start" in text


def test_a_build_tells_programs_what_it_made(cli: Run, corpus: Path) -> None:
    outcome = cli("build", *quick(corpus), "--name", "mine", "--json")
    assert outcome.status == 0
    assert outcome.stderr == ""
    result = outcome.result
    assert result["name"] == "mine"
    assert Path(result["path"], "manifest.json").is_file()
    assert sum(result["samples"].values()) == result["funnel"]["kept"] == 200
    assert result["vocab_size"] == 600


def test_a_build_tells_people_what_it_made(cli: Run, corpus: Path) -> None:
    outcome = cli("build", *quick(corpus))
    assert outcome.status == 0
    for line in ("name: demo", "vocab size: 600"):
        assert line in outcome.stdout.splitlines()


def test_progress_for_programs_is_one_object_a_line(cli: Run, corpus: Path) -> None:
    outcome = cli("build", *quick(corpus), "--progress", "json", "--json")
    told = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert told[0]["stage"] == "disk, MB at most of those free"
    assert {"stage": "read", "done": 1, "total": 1} in told
    assert told[-1] == {"stage": "encode and write", "done": 1, "total": 1}
    assert outcome.result["name"] == "demo"


def test_verify_and_export_tell_programs_what_they_did(
    cli: Run, built: BuildResult, built_root: Path, tmp_path: Path
) -> None:
    verified = cli("verify", f"{built_root}/small", "--json").result
    assert verified["version"] == built.version
    assert (verified["samples"], verified["problems"]) == (700, [])
    exported = cli("export", f"{built_root}/small", tmp_path / "out", "--json").result
    assert exported["train_ru.txt"] + exported["val_ru.txt"] == 700


def test_a_collection_tells_programs_and_people_what_stayed_and_why(
    cli: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = cli("build", *quick(corpus), "--json").result["version"]
    new = cli("build", *quick(corpus), "--split-seed", "1", "--json").result["version"]
    assert cli("gc", "--json").result["retired"] == []  # younger than the grace period
    planned = cli("gc", "--keep", "1", "--grace-s", "0", "--dry-run")
    assert "dry run: true" in planned.stdout.splitlines()
    monkeypatch.setenv("DATASERVICE_KEEP_VERSIONS", "1")
    report = cli("gc", "--grace-s", "0", "--json").result
    assert [entry["version"] for entry in report["retired"]] == [old]
    assert report["kept"] == [
        {"dataset": "demo", "version": new, "reasons": ["latest", "among the newest 1"]}
    ]
    one_error(cli("verify", f"data/datasets/demo/versions/{old}"), "was collected on", "--keep")
    assert cli("verify", "data/datasets/demo").status == 0


def test_a_failure_is_json_too_where_json_was_asked_for(cli: Run) -> None:
    outcome = cli("verify", "nowhere/demo", "--json")
    assert outcome.result["error"] in one_error(outcome)


def test_verify_fails_on_a_damaged_version_and_names_it(
    cli: Run, built: BuildResult, copied_root: Path
) -> None:
    shard = built.manifest.splits["train"].shards[0]
    (copied_root / shard.path).write_bytes(b"")
    line = one_error(cli("verify", f"{copied_root}/small"), "is damaged", shard.path)
    outcome = cli("verify", f"{copied_root}/small", "--json")
    told = [json.loads(row) for row in outcome.stdout.splitlines()]
    assert shard.path in told[0]["problems"][0]
    assert told[1]["error"] in line


MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "missing source": (["build", "--source", "nothing.tsv"], ["nothing.tsv is not there"]),
    "source of no known kind": (["build", "--source", "x.csv"], ["x.csv", "SRC.txt,TGT.txt"]),
    "one side alone": (["build", "--source", "ru.txt,"], ["`src` and `tgt` together"]),
    "value out of bounds": (["build", "--vocab-size", "7"], ["--vocab-size = '7'", "400"]),
    "value that is no number": (["build", "--val-fraction", "nan"], ["--val-fraction"]),
    "bad name": (["build", "--name", "../up"], ["'../up'", "cannot be used"]),
    "author that no tag can keep": (["build", "--default-author", "<>"], ["--default-author"]),
    "unknown progress": (["build", "--progress", "loud"], ["--progress loud", "bar or json"]),
    "nothing to collect": (["gc", "--data-dir", "nowhere"], ["nowhere/datasets", "--data-dir"]),
    "nothing to keep": (["gc", "--keep", "0"], ["--keep = '0'"]),
    "missing config": (["build", "--config", "no.yaml"], ["no.yaml is not there"]),
    "no data set here": (["verify", "nowhere/demo"], ["no data set 'demo'", "dataservice build"]),
    "no such scheme": (["verify", "ftp://host/demo"], ["'ftp'", "http://"]),
    "no name": (["export", "http://host", "out"], ["names no data set"]),
    "unknown tags": (["export", "x/demo", "out", "--tags", "all"], ["both, src or none"]),
}


@pytest.mark.parametrize(("arguments", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_do(
    cli: Run, arguments: list[str], told: list[str]
) -> None:
    one_error(cli(*arguments), *told)


def test_a_vocabulary_too_large_names_the_size_that_fits(cli: Run, corpus: Path) -> None:
    line = one_error(cli("build", *quick(corpus), "--vocab-size", "20000"), "--vocab-size to")
    limit = re.search(r"--vocab-size to (\d+)", line)
    assert limit is not None
    assert cli("build", *quick(corpus), "--vocab-size", limit[1]).status == 0


def test_a_service_that_is_down_is_named_with_a_remedy(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setattr("shards.http.RetryPolicy.wait_s", lambda *_: 0.0)
    url = f"http://127.0.0.1:{port}/datasets/demo"
    one_error(cli("verify", url), url, "refused", "check that the service is up")


def test_a_port_in_use_is_named_with_a_remedy(cli: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one_error(cli("serve", "--port", str(port)), f"127.0.0.1:{port}", "--port")


def test_a_source_root_that_is_not_there_is_told_before_anything_is_served(cli: Run) -> None:
    one_error(
        cli("serve", "--source-root", "texts"), str(Path("texts").absolute()), "nothing is served"
    )


def test_a_folder_that_may_not_be_made_is_named(cli: Run, corpus: Path) -> None:
    Path("data").write_text("a file stands in the way")
    one_error(cli("build", *quick(corpus)), "check the path")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vocab_sise: 900", ["unknown setting 'vocab_sise'", "did you mean 'vocab_size'"]),
        ("nonsense: 1", ["unknown setting 'nonsense'", "--help"]),
        ("vocab_size: many", ["vocab_size", "'many'"]),
        ("vocab_size: [1", ["cannot be read"]),
        ("- a\n- b", ["cannot be read"]),
        ("just words", ["cannot be read"]),
        ("sources: [{path: a.tsv, src: b.txt}]", ["sources.0", "`path`, or `src` and `tgt`"]),
        ("sources: [{path: a.tsv, colour: red}]", ["unknown setting 'sources.0.colour'"]),
        ("sources: 5", ["sources"]),
        ("\x00", ["cannot be read"]),
    ],
)
def test_a_mistake_in_the_settings_file_is_one_line(cli: Run, text: str, told: list[str]) -> None:
    Path("settings.yaml").write_text(text)
    one_error(cli("build", "--config", "settings.yaml"), *told)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("DATASERVICE_VOCAB_SISE", "900", ["DATASERVICE_VOCAB_SISE", "did you mean 'vocab_size'"]),
        ("DATASERVICE_NONSENSE", "1", ["DATASERVICE_NONSENSE", "--help"]),
        ("DATASERVICE_VOCAB_SIZE", "many", ["DATASERVICE_VOCAB_SIZE = 'many'"]),
    ],
)
def test_a_mistake_in_the_environment_is_one_line(
    cli: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: list[str]
) -> None:
    monkeypatch.setenv(variable, value)
    one_error(cli("build"), *told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["build", "--vocab-sise", "900"], "--vocab-size"),
        (["bild"], "build"),
        (["verify"], "url"),
    ],
)
def test_a_mistyped_command_line_is_explained_without_a_traceback(
    cli: Run, arguments: list[str], told: str
) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert told in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    cli: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = {"vocab_size": 550, "val_fraction": 0.3, "name": "file", "processes": 1}
    layers["sources"] = [str(corpus)]
    Path("settings.yaml").write_text(yaml.safe_dump(layers))
    monkeypatch.setenv("DATASERVICE_VAL_FRACTION", "0.2")
    monkeypatch.setenv("DATASERVICE_NAME", "environment")
    result = cli("build", "--config", "settings.yaml", "--name", "option", "--json").result
    assert result["name"] == "option"
    assert result["vocab_size"] == 550
    manifest = json.loads(Path(result["path"], "manifest.json").read_bytes())
    assert manifest["build"]["val_fraction"] == 0.2
    assert manifest["build"]["max_tokens"] == 512


def test_sources_come_from_every_layer(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write_rows(tmp_path / f"{n}.jsonl", tagged_rows(150, seed=n)) for n in (1, 2)]
    options = ["--processes", "1", "--vocab-size", "600", "--json"]
    both = cli("build", "--source", files[0], "--source", files[1], *options).result
    assert both["funnel"]["read"] == 300
    monkeypatch.setenv("DATASERVICE_SOURCES", str(files[1]))
    assert cli("build", *options).result["funnel"]["read"] == 150


@pytest.mark.slow
def test_the_installed_programs_behave_the_same(tmp_path: Path, corpus: Path) -> None:
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    program = str(Path(sys.executable).with_name("dataservice"))
    for start in ([program], [sys.executable, "-m", "dataservice"]):
        failed = run(*start, "build", "--source", "nothing.tsv", "--json")
        assert failed.returncode == 1
        assert failed.stderr.startswith("error: source nothing.tsv is not there")
        assert len(failed.stderr.splitlines()) == 1
        assert json.loads(failed.stdout)["error"]
    built = run(program, "build", *quick(corpus), "--json")
    assert built.returncode == 0, built.stderr
    verified = run(program, "verify", "data/datasets/demo", "--json")
    assert json.loads(verified.stdout)["problems"] == []
    piped = run("sh", "-c", f"{program} build --help | head -1")
    assert piped.stderr == ""


def test_the_report_is_shown_written_and_told_as_json(
    cli: Run, built: BuildResult, built_root: Path, tmp_path: Path
) -> None:
    url = f"{built_root}/{built.name}"
    shown = cli("report", url)
    assert shown.status == 0
    for part in ("read", "kept: train", f"{built.manifest.stats['funnel']['train']:,}", "ru", "en"):
        assert part in shown.stdout
    assert cli("report", url, "--json").result == built.manifest.stats
    written = cli("report", url, "--out", tmp_path / "new" / "report.html")
    assert (written.status, written.stdout) == (0, "")
    page = built_root / built.name / "versions" / built.version / "report.html"
    assert (tmp_path / "new" / "report.html").read_bytes() == page.read_bytes()


def test_a_report_that_cannot_be_written_is_one_error(
    cli: Run, built: BuildResult, built_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "report.html"
    one_error(
        cli("report", f"{built_root}/{built.name}", "--out", out), "--out", "cannot be written"
    )


def test_a_version_with_other_statistics_has_no_report(cli: Run, tmp_path: Path) -> None:
    store, manifest = fill_store(tmp_path / "datasets")
    store.commit("demo", manifest)
    one_error(
        cli("report", tmp_path / "datasets" / "demo"), "demo", "no statistics that this release"
    )
