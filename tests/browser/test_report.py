"""The report of a build as a person meets it: on any screen, in the dark, by keys alone."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from dataservice.prepare.report.page import report_page
from dataservice.settings import ServiceSettings
from dataservice.web.app import create_app
from tests.browser.conftest import WAIT_MS
from tests.dataservice.prepare.report.test_page import hostile_stages
from tests.dataservice.prepare.reports import make_stats
from tests.shards.helpers import fill_store

pytestmark = pytest.mark.slow

Serving = Callable[[FastAPI], AbstractContextManager[tuple[str, int]]]
CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number)
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0)
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor)
      if (color.length === 3 || color[3] > 0) return color
    }
    return [255, 255, 255]
  }
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a)
    return (high + 0.05) / (low + 0.05)
  }
  const texts = [...document.querySelectorAll('h1,h2,p,a,dt,dd,th,td,caption,summary,.axis span')]
  const bars = [...document.querySelectorAll('svg.plot rect, svg.plot polyline')]
  const color = bar => getComputedStyle(bar)[bar.tagName === 'rect' ? 'fill' : 'stroke']
  return {
    text: Math.min(...texts.map(t => ratio(parse(getComputedStyle(t).color), behind(t)))),
    plot: Math.min(...bars.map(b => ratio(parse(color(b)), behind(b)))),
    page: behind(document.body),
  }
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose data set has a report full of hostile texts."""
    folder = tmp_path_factory.mktemp("report")
    store, manifest = fill_store(folder / "datasets")
    manifest = manifest.model_copy(update={"stats": dict(make_stats(hostile_stages()))})
    page = report_page("demo", manifest).encode()
    store.commit("demo", manifest, {"report.html": page})
    return folder


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page that says nothing on the console, fails nowhere and asks for itself alone."""
    told: list[str] = []
    with browser.new_context(**options) as context:
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("console", lambda message: told.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: told.append(f"error: {error}"))
        page.on("dialog", lambda dialog: told.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: told.append(request.url))
        page.goto(url)
        yield page
    assert [line for line in told if line != "data:,"] == [url]


@pytest.fixture
def url(report: Path) -> str:
    (path,) = (report / "datasets").glob("demo/versions/*/report.html")
    return path.as_uri()


@pytest.mark.parametrize("width", [1280, 400, 320])
def test_a_page_fits_every_screen(browser: Browser, url: str, width: int) -> None:
    with opened(browser, url, viewport={"width": width, "height": 800}) as page:
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for box in (plot.bounding_box() for plot in page.get_by_role("img").all()):
            assert box is not None
            assert box["width"] > 200
            assert box["height"] > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_readable_in_the_light_and_in_the_dark(
    browser: Browser, url: str, scheme: str
) -> None:
    with opened(browser, url, color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = page.evaluate(CONTRAST)
        assert found["text"] >= 4.5
        assert found["plot"] >= 3
        assert (sum(found["page"]) > 3 * 128) is (scheme == "light")


def test_everything_is_reached_by_keys_and_has_a_name(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the report")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Funnel")).to_be_focused()
        tables = page.get_by_role("table")
        before = tables.count()
        summary = page.locator("figure summary").first
        summary.focus()
        page.keyboard.press("Enter")
        expect(tables).to_have_count(before + 1)
        page.keyboard.press("Tab")
        expect(page.locator("figure .scroll").first).to_be_focused()
        names = [plot.get_attribute("aria-label") for plot in page.get_by_role("img").all()]
        assert len(names) == len(set(names)) == 6
        for part in page.get_by_role("navigation").get_by_role("link").all_inner_texts():
            expect(page.get_by_role("region", name=part, exact=True)).to_have_count(1)


def test_the_service_shows_it_and_hostile_texts_do_nothing(
    browser: Browser, report: Path, serving: Serving
) -> None:
    settings = ServiceSettings(data_dir=report, build_on_start=False)
    with serving(create_app(settings)) as (host, port):
        root = f"http://{host}:{port}/datasets/demo"
        with browser.new_context() as context:
            link = context.request.get(root).json()["report_url"]
        with opened(browser, link) as page:
            assert page.title() == "Report of data set demo"
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            shown = page.locator("bdi", has_text="<script>alert(1)</script>")
            assert shown.count() > 2
            for selector in ("script", "img", "iframe", "[onerror]", "[onmouseover]"):
                assert page.locator(selector).count() == 0
