"""kubectl_region/rerun.py: which ticks the commands find in what the console tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubectl_region import rerun
from kubectl_region.backfill_plan import Rerun, Wanted
from kubectl_region.cluster import CronJob
from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.moments import format_time

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
FIVE = timedelta(minutes=5)
REGION = CronJob("ticks", "a-0123456789ab", "a", "0123456789ab", suspended=False, suspended_by="", annotations={})


def tick(tick_at: datetime, state: str, reason: str = "", *, manual: str = "", attempt: int = 0) -> dict[str, Any]:
    return {
        "tickAt": format_time(tick_at),
        "manualUid": manual,
        "state": state,
        "reason": reason or None,
        "attempt": attempt,
    }


class Told:
    """Answers as a console does, two ticks a page. Ticks are counted up to `counted`, at the next pages up to later."""

    def __init__(
        self, *ticks: dict[str, Any], suspended: tuple[datetime, ...] = (), counted: datetime | None = None
    ) -> None:
        self._ticks = list(ticks)
        self._counted = counted
        self._suspended = [tick(at, "skipped", "suspended") for at in suspended]
        self.asked: list[tuple[str | None, object]] = []

    def get(
        self, *path: str, before: str | None = None, limit: object = None, reason: str | None = None, **_query: object
    ) -> dict[str, Any]:
        if len(path) == 3:
            self.asked.append((before, limit))
            ticks = self._ticks if reason is None else self._suspended
            newer = [known for known in ticks if before and known["tickAt"] >= before]
            first = int(before) if before and before.isdigit() else len(newer)
            more = str(first + 2) if first + 2 < len(ticks) else None
            later = FIVE if before and before.isdigit() else 0 * FIVE
            counted = {"countedUntil": format_time(self._counted + later)} if self._counted else {}
            return {"items": ticks[first : first + 2], "next": more} | counted
        for known in self._ticks:
            if known["tickAt"] == path[3]:
                return known
        raise NotFoundError("no such tick")


def found(told: Told, *wanted: Wanted, until: datetime = NOON) -> list[tuple[datetime, int]]:
    ticks, _ = rerun._ticks(told, REGION, NOON - 6 * FIVE, until, set(wanted))  # type: ignore[arg-type]
    return [(each.tick_at, each.attempt) for each in ticks]


def test_a_tick_that_did_not_succeed_is_planned_a_success_is_refused_and_one_at_work_is_waited_for() -> None:
    console = Told(
        tick(NOON, "failed", "error", attempt=3),
        tick(NOON - FIVE, "succeeded", "ok", attempt=1),
        tick(NOON - 2 * FIVE, "running", attempt=1),
    )
    [planned] = rerun._one(console, REGION, NOON)  # type: ignore[arg-type]
    assert (planned.job, planned.state, planned.reason) == ("a-0123456789ab-29934000-r4", "failed", "error")
    assert rerun._one(console, REGION, NOON - 2 * FIVE) == []  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="a success is never run again") as caught:
        rerun._one(console, REGION, NOON - FIVE)  # type: ignore[arg-type]
    assert "kubectl region trigger a" in caught.value.remedy
    with pytest.raises(NotFoundError):
        rerun._one(console, REGION, NOON - 3 * FIVE)  # type: ignore[arg-type]


class Standing:
    """A backfill for which `under_way` reruns stand, and whose plan ends as `succeeded` says."""

    def __init__(self, under_way: int, succeeded: bool = True) -> None:
        self._under_way, self._succeeded = under_way, succeeded
        self.adopted: tuple[object, ...] = ()

    def adopt(self, *which: object) -> int:
        self.adopted = which
        return self._under_way

    def run(self, plan: list[Rerun]) -> bool:
        assert plan or self._under_way
        return self._succeeded


def test_one_tick_at_work_is_an_error_but_a_rerun_of_it_is_waited_for() -> None:
    with pytest.raises(PluginError, match="a 2026-11-30T12:00:00Z is at work") as caught:
        rerun._run(Standing(0), [], ["a"], NOON)  # type: ignore[arg-type]
    assert caught.value.remedy.startswith("look again")
    work = Standing(1, succeeded=False)
    with pytest.raises(SystemExit) as ended:
        rerun._run(work, [], ["a"], NOON)  # type: ignore[arg-type]
    assert (ended.value.code, work.adopted) == (1, (["a"], NOON))


def test_ticks_of_all_pages_are_taken_that_are_wanted_and_no_manual_runs() -> None:
    console = Told(
        tick(NOON, "missed", "image"),
        tick(NOON - FIVE, "missed", manual="by-hand"),
        tick(NOON - 2 * FIVE, "failed", attempt=2),
        tick(NOON - 3 * FIVE, "skipped", "late"),
        tick(NOON - 4 * FIVE, "succeeded"),
    )
    assert found(console, Wanted.MISSED, Wanted.FAILED) == [(NOON, 0), (NOON - 2 * FIVE, 2)]
    assert found(console, Wanted.SKIPPED, Wanted.FAILED) == [(NOON - 2 * FIVE, 2), (NOON - 3 * FIVE, 0)]
    assert found(console, Wanted.MISSED, until=NOON - FIVE) == []


def test_what_is_newer_than_the_span_is_not_read() -> None:
    console = Told(*(tick(NOON - number * FIVE, "missed") for number in range(-90, 6)))
    assert [at for at, _ in found(console, Wanted.MISSED, until=NOON - 4 * FIVE)] == [NOON - 4 * FIVE, NOON - 5 * FIVE]
    assert console.asked == [(format_time(NOON - 4 * FIVE + timedelta(seconds=1)), 500)]


def test_suspended_ticks_are_those_that_the_console_tells_each_once() -> None:
    again = tick(NOON - FIVE, "skipped", "suspended", attempt=1)
    suspended = tuple(NOON - number * FIVE for number in (1, 2, 4, 8))
    console = Told(tick(NOON, "missed"), again, tick(NOON - 3 * FIVE, "succeeded"), suspended=suspended)
    assert found(console, Wanted.SUSPENDED) == [(NOON - FIVE, 1), (NOON - 2 * FIVE, 0), (NOON - 4 * FIVE, 0)]
    assert found(console, Wanted.MISSED) == [(NOON, 0)]


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        ("2h", None, NOON - timedelta(hours=2), NOON),
        ("23:00", "01:00", NOON - timedelta(hours=13), NOON - timedelta(hours=11)),
        ("11:00", "11:00", NOON - timedelta(hours=1), NOON - timedelta(hours=1)),
    ],
)
def test_a_span_is_by_the_consoles_clock(since: str, until: str | None, first: datetime, last: datetime) -> None:
    assert rerun._span(since, until, now=NOON) == (first, last)


@pytest.mark.parametrize(("since", "until"), [("11:00", "13:00"), ("1h", "2h"), ("2026-11-30T13:00Z", None)])
def test_a_span_that_ends_before_it_begins_is_an_error(since: str, until: str | None) -> None:
    """At 12:00, 13:00 is that of yesterday."""
    with pytest.raises(PluginError, match="which is before") as caught:
        rerun._span(since, until, now=NOON)
    assert "it is 2026-11-30T12:00:00Z now" in caught.value.remedy


@pytest.mark.parametrize(
    ("last", "suspended", "told"),
    [
        pytest.param("succeeded", False, False, id="ticks"),
        pytest.param("succeeded", True, True, id="was suspended just now"),
        pytest.param("suspended", False, True, id="was resumed just now"),
    ],
)
def test_suspended_ticks_that_are_not_counted_yet_are_told_of(last: str, suspended: bool, told: bool) -> None:
    """A console of the release before does not say up to when ticks are counted."""
    region, since, counted = replace(REGION, suspended=suspended), NOON - 6 * FIVE, NOON - 2 * FIVE
    times = (counted, *(counted - number * FIVE for number in (1, 2)))
    ticks = [tick(NOON - FIVE, "succeeded"), *(tick(at, "succeeded") for at in times if last == "succeeded")]
    suspensions = times if last == "suspended" else times[2:]
    for told_until, wanted, until in (
        (counted, Wanted.SUSPENDED, NOON),
        (counted, Wanted.SUSPENDED, counted),
        (counted, Wanted.MISSED, NOON),
        (None, Wanted.SUSPENDED, NOON),
    ):
        console = Told(*ticks, suspended=suspensions, counted=told_until)
        _, lacking = rerun._ticks(console, region, since, until, {wanted})  # type: ignore[arg-type]
        matters = told_until is not None and wanted is Wanted.SUSPENDED and until > counted
        assert lacking == (counted if told and matters else None)
        assert len(console.asked) <= 4, "pages of two ticks, and no question more"


def test_a_time_of_which_nothing_is_counted_is_told_of() -> None:
    console = Told(counted=NOON - 2 * FIVE)
    assert rerun._ticks(console, REGION, NOON - FIVE, NOON, {Wanted.SUSPENDED}) == ([], NOON - 2 * FIVE)  # type: ignore[arg-type]
