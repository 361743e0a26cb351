"""Finds out what a request asks for: the page, the code in its path, and the form of the answer. Pure.

The console is reached through the API server's proxy for Services, under a path that nobody here knows. So every link
is relative, and `root` leads from a page back to the overview. The proxy may have decoded a %2F in a code, so a code
may have slashes here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping


class Page(StrEnum):
    """The pages, by their paths."""

    OVERVIEW = ""
    """Overview: is all well, what needs a look, does it fit."""
    REGIONS = "regions"
    """RegionList: the regions, 200 a page."""
    LEDGER = "ledger"
    """Ledger: what became of the ticks of each region over time, 200 regions a page."""
    NEXT = "next"
    """NextTicks: the next tick of each region, the soonest first."""
    PLAN = "plan"
    """Plan: what the operator would do now, and what is held."""
    FORECAST = "forecast"
    """Forecast: whether the ticks of the next 24 hours fit; with `format=svg` as a picture."""
    REGION = "regions/{code}"
    """Region: all about one region."""
    TICKS = "regions/{code}/ticks"
    """TickList: the ticks of a region, the newest first. Those that a suspension counts have no row in the ledger: with
    `reason=suspended` they are here too."""
    TICK = "regions/{code}/ticks/{tickAt}"
    """Tick: why a tick became what it is."""


PARAMETERS: dict[Page, tuple[str, ...]] = {
    Page.OVERVIEW: (),
    Page.REGIONS: ("code", "state", "sort", "page"),
    Page.LEDGER: ("from", "until", "code", "state", "reason", "page"),
    Page.NEXT: ("limit",),
    Page.PLAN: (),
    Page.FORECAST: (),
    Page.REGION: (),
    Page.TICKS: ("since", "state", "reason", "limit", "before"),
    Page.TICK: ("manual",),
}
"""The parameters of each page, beside `format`."""


class Form(StrEnum):
    """In which form a page is answered."""

    HTML = "html"
    JSON = "json"
    SVG = "svg"


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names. `code` and `tick_at` are decoded, "" where the page has none."""

    page: Page
    root: str
    code: str = ""
    tick_at: str = ""


_TICK = re.compile(r"regions/(?P<code>.+)/ticks/(?P<tick_at>[^/]+)")
_TICKS = re.compile(r"regions/(?P<code>.+)/ticks")
_REGION = re.compile(r"regions/(?P<code>.+)")
_PATTERNS = {Page.TICK: _TICK, Page.TICKS: _TICKS, Page.REGION: _REGION}


def find_page(raw_path: str) -> Place | None:
    """Return what a path names, as it came in the request's first line, without the query; None for no page."""
    path = raw_path.lstrip("/")
    root = "../" * path.count("/")
    if path in tuple(Page):
        return Place(Page(path), root)
    for page, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(path):
            return Place(page, root, **{name: unquote(value) for name, value in match.groupdict().items()})
    return None


def choose_form(page: Page, query: Mapping[str, str], accept: str) -> Form | None:
    """Return the form that is asked for by `format`, or else by the header Accept; None if `format` is none of them."""
    allowed = (Form.HTML, Form.JSON, Form.SVG) if page is Page.FORECAST else (Form.HTML, Form.JSON)
    if wanted := query.get("format"):
        return Form(wanted) if wanted in allowed else None
    return Form.JSON if "application/json" in accept and "text/html" not in accept else Form.HTML
