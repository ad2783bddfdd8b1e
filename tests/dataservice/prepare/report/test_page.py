"""Statistics → a page that needs nothing but itself, and that no text of a corpus can change."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from dataservice.errors import BuildError
from dataservice.prepare.counts import StageCounts
from dataservice.prepare.report.page import PAGE_POLICY, report_page
from dataservice.prepare.report.plots import Html, escape, quoted, table
from shards.manifest import canonical_json, dump_manifest, load_manifest
from tests.dataservice.prepare.reports import make_stats, manifest_of, stage_counts

HOSTILE = [
    "<script>alert(1)</script>",
    "</bdi></td></table><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '" onmouseover="alert(1)',
    "&lt;b&gt; &#60;",
    "\u202eright to left\u2066",
    "bell \x07 null \x00 escape \x1b",
    "</style></title><!--",
]
VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """The elements, attributes and texts of a page; ends must match their beginnings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def attributes(self, name: str) -> list[str | None]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def page_of(stages: StageCounts | None = None, **changes: Any) -> str:
    stages = stages or stage_counts([("too_long", "раз", "one"), ("duplicate", "два", "two")])
    return report_page("demo", manifest_of({**make_stats(stages), **changes}))


def hostile_stages() -> StageCounts:
    """Every text that a corpus decides is hostile: reasons come from us, and are so as well."""
    stages = stage_counts()
    for text in HOSTILE:
        stages.read[text] = 1
        stages.drop(f"reason {text}", text, text, text)
    stages.changed.update(HOSTILE)
    return stages


def test_a_page_is_whole_and_has_every_part() -> None:
    page = Page(page_of())
    told = " ".join(page.texts)
    for part in ("Funnel", "too_long", "раз", "Cyrillic", "FOX FACE", "Anna", "news", "ru → en"):
        assert part in told
    links = [href for href in page.attributes("href") if href and href.startswith("#")]
    ids = page.attributes("id")
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("stages", [None, hostile_stages()], ids=["plain", "hostile"])
def test_a_page_loads_and_runs_nothing(stages: StageCounts | None) -> None:
    page = Page(page_of(stages))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "foreignobject",
    }
    assert page.attributes("src") == []
    assert all(href and href.startswith(("#", "data:,")) for href in page.attributes("href"))
    names = {name for _, attributes in page.elements for name in attributes}
    assert not any(name.startswith("on") for name in names)
    assert "url(" not in page_of(stages)
    assert "@import" not in page_of(stages)
    assert PAGE_POLICY in page.attributes("content")


def test_hostile_texts_are_shown_as_they_are() -> None:
    page = Page(page_of(hostile_stages()))
    told = "".join(page.texts)
    for text in HOSTILE[:5]:
        assert text in told
    for shown in ("[U+202E]right to left[U+2066]", "bell [U+0007] null [U+0000] escape [U+001B]"):
        assert shown in told
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page_of(hostile_stages())
    )


def test_plots_have_words_and_tables_beside_them() -> None:
    page = Page(page_of())
    plots = [a for tag, a in page.elements if tag == "svg" and a.get("role") == "img"]
    assert len(plots) == 6
    for attributes in plots:
        assert re.search(r"\d", attributes["aria-label"] or "")
    hidden = [a for tag, a in page.elements if tag == "svg" and a.get("role") != "img"]
    assert all(attributes["aria-hidden"] == "true" for attributes in hidden)
    figures = sum(tag == "figure" for tag, _ in page.elements)
    assert sum(tag == "figcaption" for tag, _ in page.elements) == figures == len(plots)
    assert sum(tag == "table" for tag, _ in page.elements) > figures
    regions = [a for _, a in page.elements if a.get("role") == "region"]
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in regions)


def test_a_page_is_the_same_from_a_manifest_that_was_read_back() -> None:
    manifest = manifest_of(make_stats())
    again = load_manifest(*dump_manifest(manifest), "here")
    assert list(again.stats) != list(manifest.stats), "its keys are in another order"
    assert report_page("demo", again) == report_page("demo", manifest)


def test_a_page_without_anything_dropped_or_paired_is_whole() -> None:
    stats = make_stats()
    one = json.loads(canonical_json(stats))
    del (
        one["languages"]["tgt"],
        one["lengths"]["characters"]["tgt"],
        one["lengths"]["tokens"]["tgt"],
    )
    one |= {"authors": [], "sources": {}, "fertility": {}, "ratios": {"edges": [], "counts": []}}
    one["vocabulary"]["ranks"] = []
    page = Page(report_page("demo", manifest_of(one)))
    told = "".join(page.texts)
    assert "texts" in page.texts, "the column of the funnel"
    assert "Texts stand alone here." in told
    assert "Nothing was dropped." in told
    assert "Samples by author's tag: none." in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ratios": {"edges": [2.0, 1.0], "counts": [1, 5]}}, "edges of bins do not rise"),
        ({"ratios": {"edges": [0.0, 0.0], "counts": [0, 5]}}, "edges of bins do not rise"),
        ({"ratios": {"edges": [-1.0, 0.0], "counts": [0, 5]}}, "edges of bins do not rise"),
        ({"ratios": {"edges": [0.0], "counts": [-5]}}, "greater than or equal to 0"),
        ({"changes": {"x": "many"}}, "valid integer"),
        ({"examples": {"x": ["text"]}}, r"examples\.x\.0"),
    ],
)
def test_statistics_that_make_no_sense_are_one_clear_error(
    changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(BuildError, match=f"this release can show .*{told}"):
        page_of(**changes)


@pytest.mark.parametrize("edges", [[], [1.0], [0.0, 3.0]])
def test_more_counts_than_bins_still_give_a_page(edges: list[float]) -> None:
    Page(page_of(ratios={"edges": edges, "counts": [1, 2, 3]}))


@pytest.mark.parametrize("stats", [{}, {"funnel": {"read": 1}}, {"schema": 3}])
def test_statistics_of_another_release_are_one_clear_error(stats: dict[str, Any]) -> None:
    with pytest.raises(BuildError, match="data set 'demo' has no statistics that this release"):
        report_page("demo", manifest_of(stats))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234567, "1,234,567"),
        (0.5, "0.5"),
        (2.0, "2"),
        ("a<b", "a&lt;b"),
        (Html("<b>"), "<b>"),
        ("\u200b", "[U+200B]"),
    ],
)
def test_a_value_is_escaped_unless_it_is_html(value: Any, shown: str) -> None:
    assert escape(value) == shown


def test_a_quotation_keeps_its_own_direction_and_language() -> None:
    assert quoted("שלום", "he") == '<bdi lang="he">שלום</bdi>'
    assert quoted("<", '"') == '<bdi lang="&quot;">&lt;</bdi>'


def test_a_table_without_rows_says_so() -> None:
    assert table("Cuts", ("a",), []) == '<p class="none">Cuts: none.</p>'
