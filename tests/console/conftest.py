"""A browser for the run, and pages of made-up values. Tests here are marked `browser`, and only that mark runs them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.browser import chromium
from tests.harness.console_values import all_views
from tests.harness.npm import install_packages
from tests.harness.pages_server import serve_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.harness.pages_server import Pages

EXPECTED = re.compile("responded with a status of (400|404|503)")
"""What a browser logs of a page that says what is wrong."""
PICTURES = Path(__file__).parents[2] / "dist" / "screenshots"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serve_pages(all_views()) as serving:
        yield serving


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab of 1280 pixels. A test may ask for another one by the mark `tab`, with the options of a new page.

    The test fails if the page logs an error, such as a violation of its Content-Security-Policy. A page asks again
    until its tab is closed, so the server of made-up pages ends after that.
    """
    if "pages" in request.fixturenames:
        request.getfixturevalue("pages")
    mark = request.node.get_closest_marker("tab")
    options = {"viewport": {"width": 1280, "height": 900}, **(mark.kwargs if mark else {})}
    tab = browser.new_page(**options)
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    yield tab
    tab.close()
    assert [error for error in errors if not EXPECTED.search(error)] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which finds what keeps people from using a page."""
    return (install_packages(Path(__file__).parent / "axe", "axe") / "node_modules/axe-core/axe.min.js").read_text()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder of the screenshots, which CI keeps."""
    folder = Path(os.environ.get("SCREENSHOTS", PICTURES))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
