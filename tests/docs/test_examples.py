"""What the documents show in code works: against a real server, and against damaged data."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shards.dataset import Dataset, open_dataset
from shards.manifest import Split
from shards.sample import Sample
from tests.corpus import build_pairs

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "examples" / "read_with_webdataset.py"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a data set of several shards, `pairs`."""
    missing = [tool for tool in ("bash", "curl", "zstd") if shutil.which(tool) is None]
    assert not missing, f"the example needs {', '.join(missing)}: CONTRIBUTING.md says so"
    folder = tmp_path_factory.mktemp("data")
    build_pairs(folder, 3000)
    return folder


@pytest.fixture(scope="module")
def dataset(data_dir: Path) -> Dataset:
    return open_dataset(str(data_dir / "datasets" / "pairs"))


@pytest.fixture(scope="module")
def root_url(data_dir: Path) -> Iterator[str]:
    """The URL of `dataservice serve` over the folder."""
    arguments = ("serve", "--port", "0", "--data-dir", str(data_dir))
    process = subprocess.Popen(
        [sys.executable, "-m", "dataservice", *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if match := re.search(r" on (http://\S+/datasets)$", line.rstrip()):
                yield match[1]
                break
        else:
            pytest.fail("the data service did not start", pytrace=False)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def samples(dataset: Dataset, split: Split) -> Iterator[Sample]:
    for shard in dataset.manifest.splits[split].shards:
        for block in dataset.read_shard(shard):
            yield from block.samples()


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("pinned", [False, True], ids=["latest", "pinned"])
def test_stock_webdataset_reads_every_sample_over_http(
    dataset: Dataset, root_url: str, split: Split, pinned: bool
) -> None:
    url = f"{root_url}/pairs" + (f"/versions/{dataset.version}" if pinned else "")
    done = run(SCRIPT, url, "--split", split, "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [
        {"id": sample.pair_id, "src": sample.src.tolist(), "tgt": sample.tgt.tolist()}
        for sample in samples(dataset, split)
    ]
    assert found == expected
    assert dataset.manifest.splits[split].ids_digest in done.stderr


def test_the_script_prints_the_first_samples(dataset: Dataset, root_url: str) -> None:
    done = run(SCRIPT, f"{root_url}/pairs", "--show", "2")
    assert done.returncode == 0, done.stderr
    first = next(samples(dataset, "train"))
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].split()[0] == f"{first.pair_id:016x}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        del format, args


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """A plain file server over a folder, as any host could be."""

    def handler(*arguments: object) -> _Quiet:
        return _Quiet(*arguments, directory=str(folder))  # type: ignore[arg-type]

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("damage", ["cut", "missing", "another shard"])
def test_a_damaged_shard_is_no_shorter_data_set(
    data_dir: Path, dataset: Dataset, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "datasets"
    shutil.copytree(data_dir / "datasets", folder)
    first, second = dataset.manifest.splits["train"].shards[:2]
    path = folder / second.path
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: second.bytes // 2])
    elif damage == "missing":
        path.unlink()
    else:
        shutil.copyfile(folder / first.path, path)
    with static_server(folder) as url:
        assert run(SCRIPT, f"{url}/pairs").returncode != 0


def test_the_reader_on_the_page_about_the_format_works(
    dataset: Dataset, root_url: str, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "shard-format.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    script = tmp_path / "reader.py"
    script.write_text(
        f"{code}\nimport json, sys\n"
        "for number, src, tgt in read(sys.argv[1]):\n"
        "    print(json.dumps([number, src.tolist(), tgt.tolist()]))\n",
        encoding="utf-8",
    )
    done = run(script, f"{root_url}/pairs")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [sample.pair_id, sample.src.tolist(), sample.tgt.tolist()]
        for sample in samples(dataset, "train")
    ]
    assert len(code.strip().splitlines()) <= 40


def test_a_plain_file_server_is_as_good_as_the_service(data_dir: Path, dataset: Dataset) -> None:
    with static_server(data_dir / "datasets") as url:
        done = subprocess.run(
            [sys.executable, "-m", "dataservice", "verify", f"{url}/pairs", "--json"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["version"], result["problems"]) == (dataset.version, [])
