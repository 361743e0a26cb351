"""plan/code_owners.py: who has a code, and who must wait for one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.render import render_cronjob
from region_operator.plan.code_owners import find_code_owners
from region_operator.regions.region import Quarantined
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, applied, scheduler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_operator.regions.region import RegionRow

BAD = "bad"
"""Stands for a row that cannot be scheduled."""


def row(key: str, code: str) -> RegionRow | Quarantined | None:
    if code == BAD:
        return Quarantined(key, "", "code is empty")
    return replace(PARIS, id=key, code=code) if code else None


def live(key: str, code: str) -> LiveCronJob:
    region = replace(PARIS, id=key, code=code)
    manifest = render_cronjob(
        region, parse_schedule("@daily"), scheduler(), name=f"r-{key}", tick_image="t", suspended_by=None
    )
    return replace(LiveCronJob.from_object(applied(manifest)), key=key)


def waiting(rows: Mapping[str, str], cronjobs: Mapping[str, str]) -> dict[str, str]:
    """Return which regions wait, and for whom. Both arguments are codes by region."""
    lives = {key: (live(key, code),) for key, code in cronjobs.items()}
    by_key = {key: row(key, rows.get(key, "")) for key in {**rows, **cronjobs}}
    return {key: "".join(owner.key for owner in owners) for key, owners in find_code_owners(by_key, lives).items()}


@pytest.mark.parametrize(
    ("rows", "cronjobs", "waits"),
    [
        pytest.param({"1": "A"}, {"1": "A"}, {}, id="in sync"),
        pytest.param({"1": "A"}, {}, {}, id="a new code"),
        pytest.param({"2": "A"}, {"1": "A"}, {"2": "1"}, id="a new id, the old one gone"),
        pytest.param({"1": BAD, "2": "A"}, {"1": "A"}, {"2": "1"}, id="a new id, the old row bad"),
        pytest.param({"1": "B", "2": "A"}, {"1": "A"}, {}, id="a new id, the old one renamed"),
        pytest.param({"1": "B", "2": "A"}, {"1": "A", "2": "B"}, {}, id="a swap"),
        pytest.param({"1": "B", "2": "C", "3": "A"}, {"1": "A", "2": "B", "3": "C"}, {}, id="a ring of three"),
        pytest.param({"2": "A"}, {"1": "A", "2": "B"}, {"2": "1"}, id="renamed to the code of a region that is gone"),
        pytest.param(
            {"1": BAD, "2": "A", "3": "B"}, {"1": "A", "2": "B", "3": "C"}, {"2": "1", "3": "2"}, id="a chain"
        ),
        pytest.param({"3": "A"}, {"1": "A", "2": "A"}, {"3": "12"}, id="two have it"),
    ],
)
def test_who_waits_for_a_code(rows: dict[str, str], cronjobs: dict[str, str], waits: dict[str, str]) -> None:
    assert waiting(rows, cronjobs) == waits


def test_a_cronjob_that_is_going_has_its_code_no_more() -> None:
    rows = {"1": None, "2": row("2", "A")}
    assert find_code_owners(rows, {"1": (replace(live("1", "A"), terminating=True),)}) == {}


def test_a_region_whose_schedule_is_bad_keeps_its_code() -> None:
    rows = {"1": replace(PARIS, id="1", code="B", cron_schedule="bad"), "2": row("2", "A")}
    assert find_code_owners(rows, {"1": (live("1", "A"),)}).keys() == {"2"}


codes = st.dictionaries(st.sampled_from("123456"), st.sampled_from("ABCD"))


@given(codes, codes)
def test_who_need_not_wait_shares_its_code_with_nobody_new(rows: dict[str, str], cronjobs: dict[str, str]) -> None:
    rows = {key: code for key, code in rows.items() if [*rows.values()].count(code) == 1}  # others are quarantined
    waits = waiting(rows, cronjobs)
    after = cronjobs | {key: code for key, code in rows.items() if key not in waits}
    for key, code in rows.items():
        if key not in waits and cronjobs.get(key) != code:
            assert [*after.values()].count(code) == 1
