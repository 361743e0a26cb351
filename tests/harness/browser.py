"""A real Chromium for tests: Debian's package, which the first use installs, driven by Playwright."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from devcluster import debian
from devcluster.debian import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

CHROMIUM = (
    Part("chromium", "chromium", "is the browser in which the console is tested"),
    Part("chromium", "fonts-dejavu-core", "has the browser's letters"),
    Part("chromium", "fonts-liberation", "has the browser's letters"),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser for a `with` block. It loads pages of 127.0.0.1 only, so it needs no sandbox."""
    debian.complete_path()
    debian.ensure(CHROMIUM)
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()
