"""Service settings and a request's own → the settings of a build, or a refusal that says why."""

import os
from pathlib import Path
from typing import Any

import pytest

from dataservice.engine_settings import EngineSettings
from dataservice.jobs.request import ForbiddenSourceError, RequestError, merge_settings
from dataservice.settings import BuildSettings, ServiceSettings


@pytest.fixture
def service(tmp_path: Path) -> ServiceSettings:
    root = tmp_path / "root"
    root.mkdir()
    (root / "inside.jsonl").write_text("{}")
    (root / "ru.txt").write_text("а")
    (root / "en.txt").write_text("a")
    (tmp_path / "secret.jsonl").write_text("{}")
    (root / "link.jsonl").symlink_to(root / "inside.jsonl")
    (root / "escape.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (root / "loop.jsonl").symlink_to(root / "loop.jsonl")
    os.mkfifo(root / "pipe.jsonl")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "diary.jsonl").write_text("{}")
    (root / "out").symlink_to(tmp_path / "private")
    return ServiceSettings(
        data_dir=tmp_path / "data", source_root=root, vocab_size=900, processes=1, port=9
    )


def test_a_request_without_settings_builds_what_the_service_is_set_to(
    service: ServiceSettings,
) -> None:
    merged = merge_settings(service, {})
    assert type(merged) is BuildSettings
    assert merged == BuildSettings(data_dir=service.data_dir, vocab_size=900, processes=1)


def test_the_request_wins_over_the_service(service: ServiceSettings) -> None:
    merged = merge_settings(service, {"vocab_size": 800, "name": "mine"})
    assert (merged.vocab_size, merged.name, merged.processes) == (800, "mine", 1)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"vocab_siz": 800}, "did you mean 'vocab_size'"),
        ({"port": 80}, "unknown setting 'port'"),
        ({"data_dir": "/"}, "belongs to the service"),
        ({"processes": 64}, "belongs to the service"),
        ({"vocab_size": 1}, "vocab_size = 1"),
        ({"vocab_size": None}, "vocab_size"),
        ({"vocab_size": [1]}, "vocab_size"),
        ({"name": "../x"}, "'../x'"),
        ({"name": "blobs"}, "blobs"),
        ({"default_author": "!!"}, "default_author"),
        ({"max_length_ratio": "inf"}, "setting"),
        ({"sources": 5}, "sources"),
        ({"sources": [{"path": "inside.jsonl", "src": "ru.txt"}]}, "either `path`"),
        ({"sources": ["missing.jsonl"]}, "not a file below"),
        ({"sources": ["nothing-*.jsonl"]}, "matches no file"),
        ({"sources": ["*/../../secret.jsonl"]}, "a pattern with '..'"),
        ({"sources": ["**/**/*.jsonl"]}, "a second '**'"),
        ({"max_source_ratio": 10**6}, "belongs to the service"),
        ({"sources": ["pipe.jsonl"]}, "not a file below"),
        ({"sources": ["a\0b"]}, "no path that can be read"),
        ({"sources": ["x" * 5000]}, "path"),
        ({"sources": ["loop.jsonl"]}, "loop.jsonl"),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_queued(
    service: ServiceSettings, overrides: dict[str, Any], expected: str
) -> None:
    with pytest.raises(RequestError) as caught:
        merge_settings(service, overrides)
    assert expected in str(caught.value)
    assert not isinstance(caught.value, ForbiddenSourceError)


@pytest.mark.parametrize(
    "source",
    [
        "../secret.jsonl",
        "inside/../../secret.jsonl",
        "/etc/passwd",
        "/etc/there-is-no-such-file",
        "escape.jsonl",
        "ru.txt,../secret.jsonl",
        "escape.*",
        "*.jsonl",
        ".",
        "..",
        "../*.jsonl",
        "/etc/*",
        "out/*",
        "o*/*",
        {"src": "ru.txt", "tgt": "/etc/passwd"},
        {"path": "escape.jsonl", "name": "x"},
    ],
)
def test_no_request_reads_a_file_outside_the_source_root(
    service: ServiceSettings, source: object
) -> None:
    with pytest.raises(ForbiddenSourceError, match="is not below") as caught:
        merge_settings(service, {"sources": [source]})
    assert "diary" not in str(caught.value)


def test_without_a_source_root_sources_are_refused_with_the_way_to_allow_them(
    service: ServiceSettings,
) -> None:
    closed = service.model_copy(update={"source_root": None})
    with pytest.raises(ForbiddenSourceError, match="--source-root"):
        merge_settings(closed, {"sources": ["inside.jsonl"]})


def test_the_services_own_sources_need_no_source_root(tmp_path: Path) -> None:
    service = ServiceSettings(data_dir=tmp_path, sources=["anywhere.jsonl"])
    assert merge_settings(service, {}).sources[0].path == "anywhere.jsonl"
    assert merge_settings(service, {"sources": []}).sources == []


@pytest.mark.parametrize("absolute", [False, True])
def test_sources_are_pinned_to_the_files_behind_links_and_keep_their_names(
    service: ServiceSettings, absolute: bool
) -> None:
    root = service.source_root
    assert root is not None
    given = [str(root / "link.jsonl") if absolute else "link.jsonl", "ru.txt,en.txt"]
    first, second = merge_settings(service, {"sources": given}).sources
    assert (first.path, first.label) == (f"{root.resolve()}/inside.jsonl", "link")
    assert second.locations == (f"{root.resolve()}/ru.txt", f"{root.resolve()}/en.txt")
    assert second.label == "ru"


def test_a_request_names_a_tokenizer_by_its_sha256_alone(service: ServiceSettings) -> None:
    own = service.model_copy(update={"tokenizer": "/models/own.model"})
    assert merge_settings(service, {"tokenizer": "ab" * 32}).tokenizer == "ab" * 32
    assert merge_settings(own, {}).tokenizer == "/models/own.model"
    assert merge_settings(own, {"tokenizer": ""}).tokenizer == ""
    for refused in ("/etc/passwd", "inside.jsonl", "AB" * 32, f"../{'ab' * 32}"):
        with pytest.raises(ForbiddenSourceError, match="no request may name a file"):
            merge_settings(own, {"tokenizer": refused})


def test_a_url_is_refused_unless_the_service_allows_it(service: ServiceSettings) -> None:
    request = {"sources": ["https://example.org/c.jsonl?token=secret"]}
    with pytest.raises(ForbiddenSourceError, match="--source-urls") as caught:
        merge_settings(service, request)
    assert "secret" not in str(caught.value)
    open_service = service.model_copy(update={"source_urls": True, "source_root": None})
    (source,) = merge_settings(open_service, request).sources
    assert source.public_only
    tricked = {"sources": [{"path": "https://example.org/c.jsonl", "public_only": False}]}
    assert merge_settings(open_service, tricked).sources[0].public_only


@pytest.mark.parametrize("url", ["s3://bucket/c.jsonl", "hf://owner/name", "file:///etc/passwd"])
def test_a_request_never_reads_with_the_services_own_credentials(
    service: ServiceSettings, url: str
) -> None:
    open_service = service.model_copy(update={"source_urls": True})
    for sources in ([url], [f"ru.txt,{url}"]):
        with pytest.raises(ForbiddenSourceError, match="http and https URLs only"):
            merge_settings(open_service, {"sources": sources})


def test_a_pattern_and_a_folder_are_pinned_to_the_files_that_were_checked(
    service: ServiceSettings,
) -> None:
    root = service.source_root
    assert root is not None
    (root / "more").mkdir()
    (root / "more" / "a.tsv").write_text("")
    (root / "more" / "b.jsonl").symlink_to(root / "inside.jsonl")
    for given in ("more", "more/*", "./more/../more"):
        found = merge_settings(service, {"sources": [given]}).sources
        assert [(s.path, s.label) for s in found] == [
            (f"{root.resolve()}/more/a.tsv", "a"),
            (f"{root.resolve()}/inside.jsonl", "b"),
        ]


@pytest.mark.parametrize("name", ["sources", "test_sources"])
@pytest.mark.parametrize(
    "given", ["/etc/passwd", "../outside.jsonl", "http://169.254.169.254/x.tsv"]
)
def test_no_kind_of_source_leads_a_request_out_of_the_root(
    service: ServiceSettings, name: str, given: str
) -> None:
    with pytest.raises(ForbiddenSourceError):
        merge_settings(service, {name: [given]})
    with pytest.raises(ForbiddenSourceError):
        merge_settings(service.model_copy(update={"source_root": None}), {name: [given]})
    open_service = service.model_copy(update={"source_urls": True})
    if given.startswith("http"):
        (source,) = getattr(merge_settings(open_service, {name: [given]}), name)
        assert source.public_only


@pytest.mark.parametrize("name", sorted(EngineSettings.model_fields))
def test_what_runs_a_build_is_the_services_own(service: ServiceSettings, name: str) -> None:
    with pytest.raises(RequestError, match=f"{name}.*belongs to the service"):
        merge_settings(service, {name: 0})
