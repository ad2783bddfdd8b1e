"""A real RU/EN corpus, built several times → one version, whole, tagged and exact."""

import dataclasses
from pathlib import Path

import pytest

from dataservice.prepare.build import BuildResult, build
from dataservice.prepare.sources import parse_chunk, read_chunks
from dataservice.prepare.text.clean import clean
from dataservice.prepare.tokenizer import load_tokenizer
from dataservice.settings import BuildSettings
from dataservice.source_settings import SourceSettings
from dataservice.verify import verify
from shards.dataset import Dataset, open_dataset
from shards.sample import pair_id, pair_key
from tests.dataservice.prepare.builds import check_funnel
from tests.real_corpus import CORPUS, needs_corpus

pytestmark = [*needs_corpus, pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclasses.dataclass(frozen=True)
class Builds:
    """The same corpus built in different ways; the first one is the one to look into."""

    results: tuple[BuildResult, ...]
    dataset: Dataset
    source: SourceSettings


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    assert CORPUS is not None
    source = SourceSettings(path=Path(CORPUS))
    folder = tmp_path_factory.mktemp("corpus")
    results = []
    for number, processes in enumerate((2, 2, 1)):
        settings = BuildSettings.model_validate(
            {
                "sources": [source],
                "name": "corpus",
                "data_dir": folder / f"{number}",
                "processes": processes,
            }
        )
        results.append(build(settings))
    return Builds(tuple(results), open_dataset(f"{folder}/0/datasets/corpus"), source)


def test_runs_and_processes_give_one_version(builds: Builds) -> None:
    assert len({result.version for result in builds.results}) == 1


def test_every_blob_count_and_token_verifies(builds: Builds) -> None:
    found = verify(builds.dataset)
    assert found.problems == []
    assert found.samples == builds.dataset.manifest.stats["funnel"]["kept"]


def test_every_line_read_is_kept_or_dropped_for_a_reason(builds: Builds) -> None:
    manifest = builds.dataset.manifest
    check_funnel(manifest)
    funnel = manifest.stats["funnel"]
    assert funnel["kept"] / funnel["read"] > 0.9, funnel


def test_every_sample_is_tagged_from_at_least_a_hundred_tags(builds: Builds) -> None:
    manifest = builds.dataset.manifest
    assert len(manifest.tags.symbols) >= 100
    for split, info in manifest.splits.items():
        assert manifest.stats["splits"][split]["tagged_samples"] == info.samples > 0


def test_validation_is_a_tenth(builds: Builds) -> None:
    funnel = builds.dataset.manifest.stats["funnel"]
    assert 0.07 < funnel["val"] / funnel["kept"] < 0.12


def test_decoding_gives_exactly_the_cleaned_text(builds: Builds, tmp_path: Path) -> None:
    cleaned = {}
    for chunk in read_chunks(builds.source, tmp_path / "chunks", []):
        pairs = parse_chunk(chunk)
        assert pairs.tgt is not None
        for texts in zip(pairs.src, pairs.tgt, strict=True):
            sides = clean(texts[0]), clean(texts[1])
            cleaned[pair_id(pair_key(*sides))] = sides
    manifest = builds.dataset.manifest
    tokenizer = load_tokenizer(builds.dataset.read_blob(manifest.tokenizer))
    prefix = manifest.tags.prefix_tokens
    compared = 0
    for info in manifest.splits.values():
        # the first blocks of every third shard: hashing has mixed the pairs already
        for shard in info.shards[::3]:
            for sample in builds.dataset.read_shard(shard)[0].samples():
                found = (
                    tokenizer.decode(sample.src[prefix:].tolist()),
                    tokenizer.decode(sample.tgt.tolist()),
                )
                assert found == cleaned[sample.pair_id]
                compared += 1
    assert compared >= 2000
