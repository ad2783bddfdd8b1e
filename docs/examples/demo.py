"""The built-in corpus → a trained model, through a real server, a real kill -9 and a resume.

    python docs/examples/demo.py [--json] [--folder demo-run] [--steps 400]

Every step is a command that a user would type; what it printed is on stderr.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MARKER = ".made-by-the-demo"
SENTENCES = (
    "Разработчик исправил ошибку в новом модуле.",
    "Анна показала исследователю, как проверить основной сервер.",
)
# so small that a minute on two cores is enough to learn the patterns of the built-in corpus
MODEL = (
    *("--d-model", "128", "--encoder-layers", "1", "--decoder-layers", "1", "--d-ff", "512"),
    *("--num-heads", "8", "--dropout", "0", "--label-smoothing", "0"),
    *("--batch-size", "32", "--learning-rate", "4e-3", "--warmup-steps", "60"),
    *("--eval-every", "100", "--eval-batches", "8", "--save-every", "50", "--sample-every", "200"),
)


def command(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", program, *arguments]


def run_json(*arguments: str) -> dict[str, Any]:
    """Run a command with --json; its progress goes to our stderr."""
    say("$ " + " ".join(["python -m", *arguments]))
    done = subprocess.run(
        command(*arguments, "--json"), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"demo: `{' '.join(arguments)}` failed with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, style="bold", markup=False)


class Server:
    """`dataservice serve` on a free port, for as long as a `with` block lasts."""

    def __init__(self, data_dir: Path) -> None:
        self._arguments = ("serve", "--port", "0", "--data-dir", str(data_dir))

    def __enter__(self) -> str:
        say("$ python -m dataservice " + " ".join(self._arguments))
        self._process = subprocess.Popen(
            command("dataservice", *self._arguments), stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            sys.stderr.write(line)
            if " on http://" in line:
                threading.Thread(target=self._echo, daemon=True).start()
                return line.split(" on ")[1].strip()
        raise SystemExit("demo: the data service did not start")

    def _echo(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            sys.stderr.write(line)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def train_until_killed(arguments: list[str], ledger: Path, kill_step: int) -> int:
    """Start training and kill -9 it once the ledger holds `kill_step`; the last step it made."""
    say("$ python -m trainer " + " ".join(arguments))
    process = subprocess.Popen(command("trainer", *arguments))
    while process.poll() is None and last_step(ledger) < kill_step:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if last_step(ledger) < kill_step:
        raise SystemExit(f"demo: training ended with status {process.returncode} before the kill")
    return last_step(ledger)


def last_step(ledger: Path) -> int:
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines and lines[-1].endswith("}") else 0


def make_anew(folder: Path) -> None:
    """An empty folder for the demo; one that an earlier demo did not make is left alone."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise SystemExit(f"demo: {folder} holds something else; name another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("demo-run"), help="made anew")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options = parser.parse_args()
    started = time.monotonic()
    folder: Path = options.folder
    make_anew(folder)
    data, run = folder / "data", folder / "run"
    built = run_json("dataservice", "build", "--data-dir", str(data))
    with Server(data) as url:
        dataset = f"{url}/demo"
        run_json("dataservice", "verify", dataset)
        arguments = ["train", "--data", dataset, "--run-dir", str(run), *MODEL]
        arguments += ["--cache-dir", str(folder / "cache"), "--max-steps", str(options.steps)]
        killed = train_until_killed(arguments, run / "ledger.jsonl", options.steps * 5 // 8)
        say(f"killed with SIGKILL after step {killed}")
        trained = run_json("trainer", "train", "--resume", "--run-dir", str(run))
    generate = ("generate", "--checkpoint", str(run), "--strategy", "beam", *SENTENCES)
    made = run_json("trainer", *generate)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["event"] == "train"]
    summary = {
        "data set version": built["version"],
        "samples": f"{built['samples']['train']} train, {built['samples']['val']} val",
        "training loss": f"{losses[0]:.2f} → {losses[-1]:.2f}",
        "steps": trained["step"],
        "killed after step": killed,
        "resumed from step": [record["step"] for record in records if record["event"] == "start"][
            -1
        ],
        "best validation loss": round(trained["best_val_loss"], 3),
        "translations": [f"{row['source']} → {row['text']}" for row in made["translations"]],
        "checkpoint": trained["checkpoint"],
        "metrics": trained["metrics"],
        "data set": str(data / "datasets" / "demo"),
        "seconds": round(time.monotonic() - started),
    }
    if options.json:
        sys.stdout.write(json.dumps(summary, ensure_ascii=False) + "\n")
        return
    table = Table(title="What happened, and where things are", show_header=False)
    for name, value in summary.items():
        table.add_row(name, "\n".join(value) if isinstance(value, list) else str(value))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
