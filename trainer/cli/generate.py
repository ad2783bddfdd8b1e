"""`trainer generate`: texts and what training saved → translations."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from shards.cli.console import print_result
from shards.cli.settings import ConfigurationError, JsonOption


def generate_command(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts to translate; without any, lines of stdin")
    ] = None,
    checkpoint: Annotated[
        Path, typer.Option(help="A run's folder, or one of its checkpoints")
    ] = Path("runs/default"),
    best: Annotated[bool, typer.Option("--best", help="The run's best, not its newest")] = False,
    to: Annotated[
        str | None, typer.Option(help="Target language; the run's own by default", metavar="LANG")
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="How to choose tokens", metavar="greedy|sample|beam")
    ] = "greedy",
    beam_size: Annotated[int, typer.Option(help="Beams, with --strategy beam")] = 4,
    length_penalty: Annotated[float, typer.Option(help="Prefers longer beams when larger")] = 0.6,
    temperature: Annotated[float, typer.Option(help="Of sampling; below 1 is bolder")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Sample among the k likeliest; 0: all")] = 0,
    top_p: Annotated[float, typer.Option(help="Sample among the likeliest share p")] = 1.0,
    max_tokens: Annotated[int, typer.Option(help="Longest output")] = 128,
    seed: Annotated[int, typer.Option(help="Of sampling")] = 0,
    author: Annotated[str | None, typer.Option(help="Author tag; the data's default else")] = None,
    city: Annotated[str | None, typer.Option(help="City tag")] = None,
    year: Annotated[str | None, typer.Option(help="Year tag")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    json: JsonOption = False,
) -> None:
    """Translate texts with what training saved."""
    from trainer.generate import Generator, find_checkpoint
    from trainer.model.decode import DecodeSettings
    from trainer.training.setup import choose_device

    try:
        settings = DecodeSettings(
            strategy=strategy,  # type: ignore[arg-type]  # checked by the class itself
            beam_size=beam_size,
            length_penalty=length_penalty,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            max_tokens=max_tokens,
            seed=seed,
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    given = {"author": author, "city": city, "year": year}
    tags = {kind: name for kind, name in given.items() if name}
    generator = Generator(find_checkpoint(checkpoint, best=best), choose_device(device))
    sources = texts or _lines_of_stdin()
    if not sources:
        raise ConfigurationError("there is no text to translate; give one, or lines on stdin")
    results = generator.translate(sources, settings, to=to, tags=tags)
    if json:
        print_result(
            {"translations": [dataclasses.asdict(result) for result in results]},
            as_json=True,
            title="",
        )
        return
    for result in results:
        sys.stdout.write(result.text + "\n")


def _lines_of_stdin() -> list[str]:
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"stdin is not valid UTF-8 ({error}); convert it first") from error
    return [line for line in text.splitlines() if line.strip()]
