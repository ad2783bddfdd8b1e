"""The code's own import statements → the house rules: who may import whom, and no cycles."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dataservice", "shards", "trainer")
LAYERS = {
    "dataservice": (
        ("source_settings", "engine_settings", "filter_settings"),
        ("errors", "demo"),
        ("settings",),
        ("prepare",),
        ("export", "push", "verify", "summary", "collect"),
        ("jobs",),
        ("web",),
        ("cli",),
        ("__main__",),
    ),
    "dataservice.prepare": (
        ("pair", "ragged", "text", "tokenizer", "work"),
        ("counts", "engines", "filters", "memo", "reuse", "rows", "sources"),
        ("engine", "journal", "mask", "minhash", "reading", "report", "split_file", "tags"),
        ("ahead", "conflicts", "contamination", "model", "near", "partition"),
        ("chunks", "known"),
        ("encode", "publish"),
        ("stages",),
        ("build",),
    ),
    "trainer": (
        ("errors",),
        ("stream", "model"),
        ("config", "text"),
        ("training",),
        ("generate", "plan", "trace"),
        ("cli",),
        ("__main__",),
    ),
}


@cache
def trees(package: str) -> dict[str, ast.Module]:
    """Every module of a package by its dotted name, parsed."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    assert found, f"package {package} is not below {ROOT}"
    return found


def imported(tree: ast.Module, *, lazy: bool) -> Iterator[str]:
    """Dotted names a module imports: at its top level, or (lazy) anywhere in it."""
    nodes = ast.walk(tree) if lazy else _top_level(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.Try):
            yield from _top_level(node.body)
        elif isinstance(node, ast.If) and not _is_type_checking(node):
            yield from _top_level(node.body + node.orelse)


def _is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def roots(package: str) -> dict[str, set[str]]:
    """Top-level packages that each module imports, lazily or not."""
    return {
        name: {target.split(".")[0] for target in imported(tree, lazy=True)}
        for name, tree in trees(package).items()
    }


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("dataservice", {"trainer", "torch"}),
        ("trainer", {"dataservice", "fastapi"}),
        ("shards", {"dataservice", "trainer", "torch", "fastapi", "sentencepiece", "uvicorn"}),
    ],
)
def test_a_package_imports_only_what_the_house_allows(package: str, forbidden: set[str]) -> None:
    offences = {name: found & forbidden for name, found in roots(package).items()}
    assert {name: found for name, found in offences.items() if found} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_module_imports_have_no_cycle(package: str) -> None:
    modules = trees(package)
    graph = {
        name: {target for target in imported(tree, lazy=False) if target in modules} - {name}
        for name, tree in modules.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError with the cycle


@pytest.mark.parametrize("package", LAYERS)
def test_rooms_import_only_rooms_that_stand_before_them(package: str) -> None:
    rank = {room: number for number, rooms in enumerate(LAYERS[package]) for room in rooms}
    assert len(rank) == sum(map(len, LAYERS[package])), "a room stands in two places"
    offences = []
    for name, tree in trees(package.split(".")[0]).items():
        room = _room(name, package)
        if not room:
            continue
        assert room in rank, f"{name} has no place in the reading order of {package}"
        for target in imported(tree, lazy=True):
            other = _room(target, package)
            # rooms on one step are neighbours that do not know each other
            if other not in ("", room) and rank[other] >= rank[room]:
                offences.append(f"{name} imports {target}")
    assert offences == []


def _room(name: str, package: str) -> str:
    """The room of a package in which a module stands; empty when it is none of it."""
    return name.removeprefix(f"{package}.").split(".")[0] if name.startswith(f"{package}.") else ""


@pytest.mark.parametrize(
    ("module", "blocked"),
    [
        ("shards.reader", ("torch", "fastapi", "sentencepiece")),
        ("shards.writer", ("torch", "webdataset")),
        ("shards.dataset", ("torch", "fastapi", "sentencepiece", "obstore")),
        (
            "dataservice.prepare.build",
            ("torch", "webdataset", "fastapi", "uvicorn", "pyarrow", "huggingface_hub", "obstore"),
        ),
        ("dataservice.cli", ("torch", "fastapi", "uvicorn")),
    ],
)
def test_a_module_is_importable_where_a_heavy_library_is_not(
    module: str, blocked: tuple[str, ...]
) -> None:
    program = f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\nimport {module}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
