"""database/row_trigger.py: which columns share a trigger, and names that fit into Postgres."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.database.row_trigger import RowTrigger
from region_operator.scheduler import Columns

DEFAULT = RowTrigger.of(Columns())


def test_the_default_columns_have_these_names_in_every_release() -> None:
    """A release with other names would make a second trigger beside the one of the release before."""
    assert (DEFAULT.name, DEFAULT.function) == ("region_tick_notify_b482f2b2", "notify_rows_b482f2b2")


@pytest.mark.parametrize(
    "columns", [{"name": "label"}, {"handler": "does"}, {"active": "code", "code": "active"}, {"id": "nr"}]
)
def test_other_columns_are_another_trigger(columns: dict[str, str]) -> None:
    other = RowTrigger.of(Columns(**columns))
    assert other.name != DEFAULT.name
    assert other.function != DEFAULT.function


def test_a_column_that_serves_twice_is_compared_once() -> None:
    shared = RowTrigger.of(Columns(name="code"))
    assert shared.columns.count("code") == 1
    assert len(shared.columns) == len(DEFAULT.columns) - 1


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=63), min_size=9, max_size=9
    )
)
def test_names_are_short_and_plain_whatever_the_columns_are_called(names: list[str]) -> None:
    trigger = RowTrigger.of(Columns(**dict(zip(Columns.model_fields, names, strict=False))))
    for name in (trigger.name, trigger.function):
        assert len(name) < 63
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
