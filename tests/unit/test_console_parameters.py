"""console.parameters: a good parameter is read, a bad one is refused by its name, its value and what is allowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from region_operator.console.lists import Filter, Sort
from region_operator.console.parameters import BadParameterError, Parameters, count_pages

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
DEFAULT = NOW - timedelta(days=1)


def given(**query: str) -> Parameters:
    return Parameters({name.strip("_"): value for name, value in query.items()}, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", DEFAULT),
        ("2026-11-30T01:05:00Z", datetime(2026, 11, 30, 1, 5, tzinfo=UTC)),
        ("2026-11-30T01:05:00", datetime(2026, 11, 30, 1, 5, tzinfo=UTC)),
        ("2026-11-30 01:05", datetime(2026, 11, 30, 1, 5, tzinfo=UTC)),
        ("2026-11-30", datetime(2026, 11, 30, tzinfo=UTC)),
        ("2026-11-30T01:05:00+02:00", datetime(2026, 11, 30, 1, 5, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-11-30T01:05:00 02:00", datetime(2026, 11, 29, 23, 5, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("6h", NOW - timedelta(hours=6)),
        ("7d", NOW - timedelta(days=7)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    assert given(since=text).time("since", default=DEFAULT) == expected


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: given(since="yesterday").time("since", default=NOW), r"since cannot be 'yesterday'"),
        (lambda: given(since="9999-12-31T23:59:59Z").time("since", default=NOW), "since cannot be '9999"),
        (lambda: given(since="0001-01-01T00:00:00+14:00").time("since", default=NOW), "since cannot be '0001"),
        (lambda: given(since="999999d").time("since", default=NOW), "since cannot be '999999d'"),
        (lambda: given(page="0").number("page", default=1, most=9), "page cannot be '0'"),
        (lambda: given(page="10").number("page", default=1, most=9), "page cannot be '10'"),
        (lambda: given(page="-1").number("page", default=1, most=9), "page cannot be '-1'"),
        (lambda: given(page="²").number("page", default=1, most=9), "page cannot be '²'"),
        (lambda: given(page="1e9").number("page", default=1, most=9), "page cannot be '1e9'"),
        (lambda: given(state="ticking,nope").choices("state", tuple(Filter)), "state cannot be 'nope'"),
        (lambda: given(sort="size").choice("sort", Sort, default=Sort.CODE), "sort cannot be 'size'"),
        (lambda: given(stat="late").expect("state"), "stat cannot be 'late'"),
        (lambda: given(code="x" * 201).expect("code"), "code cannot be"),
        (lambda: given(code="\0").number("code", default=1, most=2), r"code cannot be '\\\\x00'"),
    ],
)
def test_a_bad_parameter_is_named_with_its_value_and_what_is_allowed(read: Callable[[], object], message: str) -> None:
    with pytest.raises(BadParameterError, match=message) as refused:
        read()
    assert refused.value.allowed.partition(": write ")[2]


def test_lists_keep_their_order_and_lose_what_is_named_twice() -> None:
    assert given(state=" late, failing,late,").choices("state", tuple(Filter)) == (Filter.LATE, Filter.FAILING)
    assert given(reason="image, pod failed").texts("reason") == ("image", "pod failed")
    assert given().choice("sort", Sort, default=Sort.CODE) is Sort.CODE


def test_the_form_is_a_parameter_of_every_page() -> None:
    given(format="json", v="1", state="").expect("state")


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (1, 1), (200, 1), (201, 2), (10_000, 50)])
def test_pages(total: int, pages: int) -> None:
    assert count_pages(total, 200) == pages
