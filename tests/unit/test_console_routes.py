"""console.routes: what a path names, whatever stands in a code, and the form of the answer."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from region_operator.console.routes import Form, Page, Place, choose_form, find_page

CODES = ("R1", "FR/75", "São Paulo", "a/ticks/b", "100%", "a?b", "ticks", "..")


def test_the_pages_of_all_regions() -> None:
    assert find_page("/") == Place(Page.OVERVIEW, "")
    for page in (Page.REGIONS, Page.LEDGER, Page.NEXT, Page.PLAN, Page.FORECAST):
        assert find_page(f"/{page}") == Place(page, "")


@pytest.mark.parametrize("code", CODES)
def test_a_code_may_be_anything_that_is_encoded(code: str) -> None:
    encoded = quote(code, safe="")
    assert find_page(f"/regions/{encoded}") == Place(Page.REGION, "../", code)
    assert find_page(f"/regions/{encoded}/ticks") == Place(Page.TICKS, "../../", code)
    tick = find_page(f"/regions/{encoded}/ticks/2026-11-30T01%3A05%3A00Z")
    assert tick == Place(Page.TICK, "../../../", code, "2026-11-30T01:05:00Z")


def test_a_slash_that_a_proxy_decoded_belongs_to_the_code_and_leads_further_down() -> None:
    assert find_page("/regions/FR/75") == Place(Page.REGION, "../../", "FR/75")
    assert find_page("/regions/FR/75/ticks/2026-11-30T01:05:00Z") == Place(
        Page.TICK, "../../../../", "FR/75", "2026-11-30T01:05:00Z"
    )


@pytest.mark.parametrize("path", ["/region", "/regions/", "/ledger/x", "/favicon.ico", "/static/a.css", "/PLAN"])
def test_other_paths_are_no_pages(path: str) -> None:
    assert find_page(path) is None


@pytest.mark.parametrize(
    ("query", "accept", "form"),
    [
        ({}, "", Form.HTML),
        ({}, "*/*", Form.HTML),
        ({}, "application/json", Form.JSON),
        ({}, "text/html,application/json;q=0.9", Form.HTML),
        ({"format": "json"}, "text/html", Form.JSON),
        ({"format": "html"}, "application/json", Form.HTML),
        ({"format": "svg"}, "", None),
        ({"format": "xml"}, "", None),
        ({"format": ""}, "", Form.HTML),
    ],
)
def test_the_form(query: dict[str, str], accept: str, form: Form | None) -> None:
    assert choose_form(Page.REGIONS, query, accept) is form


def test_only_the_forecast_is_a_picture() -> None:
    assert choose_form(Page.FORECAST, {"format": "svg"}, "") is Form.SVG
