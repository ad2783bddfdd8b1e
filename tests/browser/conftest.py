"""A browser for these tests: the machine's own Chromium."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.dataservice.web.conftest import serving

__all__ = ["serving"]

WAIT_MS = 120_000.0  # a busy machine is slow to start a browser, and to move a focus


@pytest.fixture(scope="module")  # its event loop would be in the way of other tests' own
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, f"these tests need one of {', '.join(names)}: apt-get install chromium"
    with (
        sync_playwright() as playwright,
        # its sandbox wants more rights than a container gives; it opens nothing but our own pages
        playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"], timeout=WAIT_MS
        ) as running,
    ):
        expect.set_options(timeout=WAIT_MS)
        yield running
