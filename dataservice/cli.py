"""The command line of the data service: build, serve, verify, report, export, push, gc."""

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from dataservice.collect.marks import Rules
from dataservice.collect.sweep import collect
from dataservice.errors import BuildError
from dataservice.export import TagSides, export_text
from dataservice.prepare.build import BuildResult, build
from dataservice.prepare.report.page import report_page
from dataservice.prepare.report.schema import parse_stats
from dataservice.push import push
from dataservice.settings import ENV_PREFIX, BuildSettings, ServiceSettings
from dataservice.summary import print_tables
from dataservice.verify import verify
from shards.cli.console import Report, json_lines, print_result, progress_bars, run, say
from shards.cli.help import GroupedHelp
from shards.cli.settings import (
    ConfigOption,
    ConfigurationError,
    JsonOption,
    load_settings,
    settings_options,
)
from shards.dataset import open_dataset
from shards.store import REPORT, write_atomically

app = typer.Typer(
    help="Turn text and its translations into versioned, verified data sets; serve them over HTTP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_GRACE_S: Final = 5
_NOT_BUILT: Final = "nothing was built"
UrlArgument = Annotated[
    str,
    typer.Argument(
        help="Data set or version: http(s)://, s3://, gs://, az:// or a folder ROOT/NAME"
    ),
]
ProgressOption = Annotated[
    str, typer.Option("--progress", help="bar, or json for one object a line", metavar="bar|json")
]


@app.command(
    "build", cls=GroupedHelp, epilog="Example: dataservice build --source ru.txt,en.txt --name mine"
)
@settings_options(BuildSettings)
def build_command(
    overrides: Mapping[str, Any],
    config: ConfigOption = None,
    json: JsonOption = False,
    progress: ProgressOption = "bar",
) -> None:
    """Build a data set version from text, or from the built-in demo corpus."""
    settings = load_settings(
        ServiceSettings,
        prefix=ENV_PREFIX,
        consequence=_NOT_BUILT,
        config=config,
        overrides=overrides,
    )
    with _reporter(progress) as report:
        result = build(settings, report)
    if settings.val_fraction and not result.manifest.splits["val"].samples:
        say(
            "warning: no sentence fell into val, so training on this version has nothing to "
            "validate on; give more text, or another --split-seed or --val-fraction"
        )
    print_result(_summary(result, settings), as_json=json, title="Built")


@contextmanager
def _reporter(kind: str) -> Iterator[Report]:
    if kind == "json":
        yield json_lines
    elif kind == "bar":
        with progress_bars() as report:
            yield report
    else:
        raise ConfigurationError(f"--progress {kind} is unknown; {_NOT_BUILT}; use bar or json")


def _summary(result: BuildResult, settings: BuildSettings) -> dict[str, Any]:
    splits = result.manifest.splits
    folder = settings.store_dir / result.name / "versions" / result.version
    return {
        "name": result.name,
        "version": result.version,
        "path": str(folder),
        "report": str(folder / REPORT),
        "samples": {split: info.samples for split, info in splits.items()},
        "shards": {split: len(info.shards) for split, info in splits.items()},
        "bytes": sum(blob.bytes for blob in result.manifest.blobs()),
        "vocab_size": result.manifest.tokenizer.vocab_size,
        "funnel": result.manifest.stats["funnel"],
    }


@app.command(
    "serve", cls=GroupedHelp, epilog="Example: dataservice serve --port 8000 --data-dir data"
)
@settings_options(ServiceSettings)
def serve_command(
    overrides: Mapping[str, Any], config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Serve data sets over HTTP; an empty store gets the demo data set first."""
    settings = load_settings(
        ServiceSettings,
        prefix=ENV_PREFIX,
        consequence="nothing is served",
        config=config,
        overrides=overrides,
    )
    # imported here: a build needs no web server, and its processes start faster without
    import uvicorn

    from dataservice.jobs.records import RecordFolder
    from dataservice.web.app import create_app
    from dataservice.web.sendfile import SendfileProtocol

    if settings.source_root is not None and not settings.source_root.is_dir():
        raise ConfigurationError(
            f"--source-root {settings.source_root.absolute()} is no folder; nothing is served; "
            "make it, or check its path"
        )
    os.close(RecordFolder(settings.data_dir / "jobs").lock())  # told here, in one line, if taken
    listener = _listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}/datasets"
    say(f"serving {settings.store_dir} on {url}")
    if json:
        print_result({"url": url, "store": str(settings.store_dir)}, as_json=True, title="")
        sys.stdout.flush()
    # a download that never ends must not keep a stopped service alive
    server_config = uvicorn.Config(
        create_app(settings),
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_S,
        loop="asyncio",
        http=SendfileProtocol,
    )
    server = uvicorn.Server(server_config)
    # uvicorn raises a signal again once it has stopped in order, which is all that was asked for
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with listener:
        server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=512)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror}); nothing is served; "
            "stop what uses the port, or take another with --port (0 picks a free one)"
        ) from error
    # else a small answer waits 40 ms for an acknowledgement; asyncio sets it on its own sockets
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@app.command(
    "verify",
    cls=GroupedHelp,
    epilog="Example: dataservice verify http://localhost:8000/datasets/demo",
)
def verify_command(url: UrlArgument, json: JsonOption = False) -> None:
    """Check every blob, count and token of a data set version, and name what is wrong."""
    dataset = open_dataset(url, tell=say)
    with progress_bars() as report:
        findings = verify(dataset, report)
    result = {
        "url": dataset.ref.url,
        "version": dataset.version,
        "shards": findings.shards,
        "blocks": findings.blocks,
        "samples": findings.samples,
        "tokens": findings.tokens,
        "problems": findings.problems,
    }
    print_result(result, as_json=json, title="Verified")
    if findings.problems:
        raise BuildError(f"{dataset.ref.url} is damaged: " + "; ".join(findings.problems))


@app.command(
    "report",
    cls=GroupedHelp,
    epilog="Example: dataservice report data/datasets/demo --out report.html",
)
def report_command(
    url: UrlArgument,
    out: Annotated[
        Path | None, typer.Option(help="Write the page with all numbers and plots to this file")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what a build counted: what was dropped and why, lengths, characters, tokens."""
    dataset = open_dataset(url, tell=say)
    stats = parse_stats(dataset.manifest.stats, dataset.ref.url)
    if out is not None:
        try:
            write_atomically(out, report_page(dataset.ref.name, dataset.manifest).encode())
        except OSError as error:
            raise ConfigurationError(
                f"--out {out} cannot be written ({error.strerror}); name another file"
            ) from error
        say(f"wrote {out}")
    if json:
        print_result(dict(stats), as_json=True, title="")
    elif out is None:
        print_tables(stats, dataset.ref.url)


@app.command(
    "export", cls=GroupedHelp, epilog="Example: dataservice export data/datasets/demo out/"
)
def export_command(
    url: UrlArgument,
    folder: Annotated[Path, typer.Argument(help="New or empty folder for the text files")],
    tags: Annotated[
        str, typer.Option(help="Sides that begin with their tags", metavar="both|src|none")
    ] = "both",
    json: JsonOption = False,
) -> None:
    """Write a version back as text: train_ru.txt, train_en.txt, …, as its languages are called."""
    sides: dict[str, TagSides] = {"both": "both", "src": "src", "none": "none"}
    if tags not in sides:
        raise ConfigurationError(
            f"--tags {tags} is unknown; nothing was exported; use both, src or none"
        )
    dataset = open_dataset(url, tell=say)
    with progress_bars() as report:
        lines = export_text(dataset, folder, tags=sides[tags], report=report)
    print_result({"folder": str(folder), **lines}, as_json=json, title="Exported")


@app.command("push", cls=GroupedHelp, epilog="Example: dataservice push demo s3://bucket/datasets")
def push_command(
    source: Annotated[
        str, typer.Argument(help="Name of a data set in --data-dir, or a URL or folder ROOT/NAME")
    ],
    target: Annotated[
        str, typer.Argument(help="Bucket and prefix that hold data sets: s3://, gs:// or az://")
    ],
    data_dir: Annotated[
        Path | None, typer.Option(help="Holds datasets/ (default: data)", show_default=False)
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Put a data set version into a bucket, as TARGET/NAME; run it again to go on after a break."""
    if "/" not in source:
        overrides = {"data_dir": data_dir} if data_dir else {}
        settings = load_settings(
            ServiceSettings,
            prefix=ENV_PREFIX,
            consequence="nothing was pushed",
            config=config,
            overrides=overrides,
        )
        source = str(settings.store_dir / source)
    dataset = open_dataset(source, tell=say)
    with progress_bars() as report:
        result = push(dataset, target, report)
    print_result(asdict(result), as_json=json, title="Pushed")


@app.command("gc", cls=GroupedHelp, epilog="Example: dataservice gc --keep 2 --dry-run")
def gc_command(
    keep: Annotated[
        str | None,
        typer.Option(
            help="Newest versions of each data set that stay (default: keep_versions)",
            metavar="<int>",
        ),
    ] = None,
    grace_s: Annotated[
        str | None,
        typer.Option(
            help="What is younger, in seconds, stays (default: collect_grace_s)",
            metavar="<int>",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, and remove nothing")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Holds datasets/, leases/ and work/ (default: data)")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Collect old versions that nobody holds; may run while the service and builds do."""
    given = {"keep_versions": keep, "collect_grace_s": grace_s, "data_dir": data_dir}
    settings = load_settings(
        ServiceSettings,
        prefix=ENV_PREFIX,
        consequence="nothing was collected",
        config=config,
        overrides={name: value for name, value in given.items() if value is not None},
        flags={"keep_versions": "--keep", "collect_grace_s": "--grace-s"},
    )
    if not settings.store_dir.is_dir():
        raise ConfigurationError(
            f"{settings.store_dir} is not there, so there is nothing to collect; name the "
            "service's folder with --data-dir"
        )
    rules = Rules(keep=settings.keep_versions, grace_s=settings.collect_grace_s)
    report = collect(settings.data_dir, rules, dry_run=dry_run)
    title = "Would collect" if dry_run else "Collected"
    print_result(report.model_dump(mode="json"), as_json=json, title=title)


def main() -> None:
    """Entry point."""
    run(app, again="run the same command again: a build goes on where it was")
