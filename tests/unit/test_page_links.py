"""console/page_links.py: addresses are relative, and no code or parameter leaves its place in one."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.console.page_links import link, same_page, tick_link
from region_operator.console.server import LONG_PATH
from tests.harness.console_values import context_of

PROXY = "https://api.example.com/api/v1/namespaces/region-tick/services/http:region-tick-console:http/proxy/"


@pytest.mark.parametrize("path", ["", "regions", "regions/DE-BE", "regions/DE-BE/ticks/2026-11-30T01:05:00Z"])
def test_links_lead_to_the_same_page_from_every_page(path: str) -> None:
    context = context_of(path)
    assert urljoin(PROXY + path, link(context, "ledger", state="failed")) == f"{PROXY}ledger?state=failed"
    assert urljoin(PROXY + path, link(context)) == PROXY


@given(st.text(min_size=1, max_size=80).filter(lambda code: code.strip(".")))
def test_a_code_stays_one_segment(code: str) -> None:
    try:
        code.encode()
    except UnicodeEncodeError:
        return
    address = urlsplit(urljoin(PROXY, link(context_of(""), "regions", code)))
    assert address.geturl().startswith(f"{PROXY}regions/")
    assert unquote(address.path.rpartition("/")[2]) == code
    assert not address.query


@pytest.mark.parametrize("code", [r"FR\u200b75" * 500, "\u6771" * 300, "\U00020000" * 84], ids=len)
def test_a_code_that_no_address_has_room_for_is_named_as_it_is_shown(code: str) -> None:
    """The console finds a region so too, if no other code begins with as many characters."""
    address = link(context_of(""), "regions", code)
    assert unquote(address) == f"./regions/{code[:77]}..."
    assert len(address) < LONG_PATH / 2


def test_a_changed_parameter_keeps_the_others() -> None:
    context = context_of("regions", state="failing,late", code="DE&x=1", page="3")
    assert parse_qs(same_page(context, page="")[1:]) == {"state": ["failing,late"], "code": ["DE&x=1"]}
    assert same_page(context_of("regions", page="2"), page="") == "?"


def test_a_word_of_python_may_name_a_parameter() -> None:
    assert link(context_of(""), "ledger", from_="6h") == "./ledger?from=6h"


def test_a_manual_run_has_its_uid_in_the_address() -> None:
    at = datetime(2026, 11, 30, 1, 5, tzinfo=UTC)
    assert tick_link(context_of("regions"), "DE/BE", at, "u-1") == (
        "./regions/DE%2FBE/ticks/2026-11-30T01%3A05%3A00Z?manual=u-1"
    )
