"""console.lists: which regions a list has, in which order, and what the overview counts."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from region_operator.console.lists import (
    ATTENTION,
    Filter,
    Sort,
    count_regions,
    make_row,
    need_a_look,
    next_ticks,
    select,
    sort,
)
from region_operator.console.region_views import LastTick
from region_operator.console.snapshot import KnownRegion, Snapshot
from region_operator.console.standing import Finding, Standing, Version
from region_operator.console.views import RegionState, Trouble
from region_tick.contract import State

NOW = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = Version(
    cron="0 * * * *",
    cronjob="r",
    since=NOW - 99 * HOUR,
    start_deadline=timedelta(minutes=5),
    suspended=False,
    suspended_by=None,
)
FINE = Standing(state=RegionState.TICKING, findings=(), late_by_intervals=0.0, why=None, remedy=None)


def finding(kind: Trouble, hours: float = 1) -> Finding:
    return Finding(kind=kind, text=f"is {kind}", since=NOW - hours * HOUR, remedy="do")


def known(code: str, standing: Standing = FINE, *, version: Version | None = HOURLY, **values: object) -> KnownRegion:
    region = KnownRegion(
        region_id=f"id of {code}",
        code=code,
        name=f"name of {code}",
        written="0 * * * *",
        row={},
        has_row=True,
        version=version,
        last=None,
        last_success=NOW - HOUR,
        standing=standing,
    )
    return replace(region, **values)  # type: ignore[arg-type]


def troubled(code: str, *kinds: Trouble, hours: float = 1, state: RegionState = RegionState.TICKING) -> KnownRegion:
    findings = tuple(finding(kind, hours) for kind in kinds)
    return known(code, Standing(state=state, findings=findings, late_by_intervals=2.0, why=None, remedy=None))


REGIONS = [
    known("DE"),
    troubled("FR/75", Trouble.FAILING, Trouble.LATE),
    known(
        "fr-idf", replace(FINE, state=RegionState.PAUSED, why="paused by ann"), version=replace(HOURLY, suspended=True)
    ),
    troubled("São Paulo", Trouble.QUARANTINED, state=RegionState.QUARANTINED),
]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("", ["DE", "FR/75", "fr-idf", "São Paulo"]),
        ("fr", ["FR/75", "fr-idf"]),
        ("FR/", ["FR/75"]),
        ("*ao*", []),
        ("são", ["São Paulo"]),
        ("*75", ["FR/75"]),
        ("D?", ["DE"]),
        ("D", ["DE"]),
        ("[a-z]*", []),
    ],
)
def test_a_code_is_found_by_its_beginning_or_by_a_pattern(code: str, found: list[str]) -> None:
    assert [region.code for region in select(REGIONS, code=code, filters=())] == found


def test_a_filter_names_a_state_or_what_is_wrong() -> None:
    def found(*filters: Filter) -> list[str]:
        return [region.code for region in select(REGIONS, code="", filters=filters)]

    assert found(Filter.TICKING) == ["DE", "FR/75"]
    assert found(Filter.LATE) == ["FR/75"]
    assert found(Filter.PAUSED, Filter.QUARANTINED) == ["fr-idf", "São Paulo"]
    assert found(Filter.HELD) == []


def test_orders() -> None:
    late = troubled("A", Trouble.LATE)
    soon = known("Z", name="a", last_success=None)
    paused = known("B", version=replace(HOURLY, suspended=True))

    def order(by: Sort) -> list[str]:
        return [region.code for region in sort([late, paused, soon], by, NOW)]

    assert order(Sort.CODE) == ["A", "B", "Z"]
    assert order(Sort.NAME) == ["Z", "A", "B"]
    assert order(Sort.NEXT) == ["A", "Z", "B"]
    assert order(Sort.LAST_SUCCESS) == ["Z", "A", "B"]
    assert order(Sort.LATE) == ["A", "B", "Z"]
    assert order(Sort.TROUBLE) == ["A", "B", "Z"]


def test_counts() -> None:
    counts = count_regions([*REGIONS, known("gone", has_row=False)])
    assert (counts.active, counts.ticking, counts.paused, counts.quarantined) == (4, 3, 1, 1)
    assert (counts.failing, counts.late, counts.missed, counts.held) == (1, 1, 0, 0)


def test_the_worst_come_first_and_the_longest_of_them_first() -> None:
    many = [troubled(f"late {number:03}", Trouble.LATE, hours=number) for number in range(1, 61)]
    attention, total = need_a_look([*many, known("fine"), troubled("held", Trouble.HELD)])
    assert (len(attention), total) == (ATTENTION, 61)
    assert [item.code for item in attention[:3]] == ["held", "late 060", "late 059"]
    assert attention[0].remedy == "do"


def test_many_regions_with_one_kind_of_trouble_hide_no_other_kind() -> None:
    many = [troubled(f"bad {number:03}", Trouble.QUARANTINED, hours=number) for number in range(1, 101)]
    others = [
        troubled("late", Trouble.LATE),
        troubled("fails", Trouble.FAILING),
        troubled("fails too", Trouble.FAILING),
    ]
    attention, total = need_a_look([*many, *others])
    assert (len(attention), total) == (ATTENTION, 103)
    assert [item.code for item in attention[:4]] == ["bad 100", "fails", "late", "bad 099"]


def test_a_region_that_has_no_time_at_all_needs_a_look_too() -> None:
    never = known(
        "never",
        Standing(
            state=RegionState.TICKING,
            findings=(replace(finding(Trouble.LATE), since=None),),
            late_by_intervals=3.0,
            why=None,
            remedy=None,
        ),
    )
    assert need_a_look([never, troubled("A", Trouble.LATE)])[0][0].code == "never"


def test_a_row_of_a_list() -> None:
    ticks = [LastTick(tick_at=NOW - HOUR, state=State.FAILED, reason="error")]
    row = make_row(REGIONS[1], ticks, NOW)
    assert (row.troubles, row.why) == ((Trouble.FAILING, Trouble.LATE), "is failing; is late")
    assert (row.last_tick, row.recent) == (ticks[0], (State.FAILED,))
    assert row.next == NOW.replace(hour=13, second=0)
    paused = make_row(REGIONS[2], (), NOW)
    assert (paused.why, paused.next, paused.last_tick) == ("paused by ann", None, None)


def test_the_next_tick_of_each_region_the_soonest_first() -> None:
    daily = known("daily", version=replace(HOURLY, cron="0 11 * * *"))
    ticks = next_ticks([daily, REGIONS[0], REGIONS[2]], NOW, limit=2)
    assert [(tick.code, tick.at.hour) for tick in ticks] == [("DE", 13), ("daily", 11)]
    assert len(next_ticks(REGIONS, NOW, limit=1)) == 1


def test_a_code_is_made_visible_once_and_not_for_each_region() -> None:
    """The event loop waits meanwhile: an escape of 640 characters for each of 10,000 regions took 3 s."""
    regions = [known("DE")] * 10_000
    began = time.process_time()
    assert Snapshot(NOW, "t", regions).by_code("\x01" * 640) is None
    assert select(regions, code="\x01" * 640, filters=()) == []
    assert time.process_time() - began < 0.5
