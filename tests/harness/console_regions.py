"""Made-up regions and ticks as the console shows them: each state, each trouble, texts as long as real ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from region_operator.console import region_views as rv
from region_operator.console.views import RegionState, Trouble
from region_operator.regions.schedule import parse_schedule
from region_operator.regions.schedule_words import say_schedule
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 30, 9, 17, 42, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SCHEDULES = ("*/15 * * * *", "H * * * *", "17 3 * * 1-5", "*/5 8-17 * * *", "H H * * *", "0 6,18 * * *")
_NAMES = {
    "DE-BE": "Berlin", "DE-BY": "Bavaria", "FR-IDF": "Île-de-France", "FR-75": "Paris", "JP-13": "Tokyo",
    "BR-RJ": "Rio de Janeiro", "BR-SP": "São Paulo", "IS-1": "Reykjavík", "US-NY": "New York", "US-CA": "California",
    "GB-LND": "London", "KE-30": "Nairobi", "IN-MH": "Maharashtra", "ES-MD": "Madrid", "IT-62": "Lazio",
    "NO-03": "Oslo", "SE-AB": "Stockholm", "PL-MZ": "Masovia", "AU-NSW": "New South Wales", "CA-ON": "Ontario",
}  # fmt: skip
_CODES = list(_NAMES)
_ODD_STATES = {3: RegionState.PAUSED, 7: RegionState.QUARANTINED, 11: RegionState.HELD}
_WHY = {
    RegionState.PAUSED: "paused by ana@example.com",
    RegionState.QUARANTINED: 'cron_schedule "0 3 * * 7" is invalid: day of week "7": write "0"',
    RegionState.HELD: "a deletion is held: it ticks on as it last was",
}
_REASONS = {
    State.SUCCEEDED: Reason.OK,
    State.MISSED: Reason.IMAGE,
    State.SKIPPED: Reason.CAPACITY,
    State.FAILED: Reason.ERROR,
    State.INTERRUPTED: Reason.TERMINATED,
}
_ERROR = "HTTP 503 from https://feeds.example.com/idf.xml, after 3 attempts"
REMEDY = "Read the error and the pod's log. Once the cause is mended, run the tick again if its work is missed."


def dice(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - repeatable is the point


def code_of(number: int) -> str:
    code = _CODES[number % len(_CODES)]
    return code if number < len(_CODES) else f"{code}-{number // len(_CODES):03}"


def states(random: Random, count: int, *, bad: float = 0.04) -> tuple[State, ...]:
    """Return states as ledgers have them: mostly succeeded, the others in runs."""
    found: list[State] = []
    while len(found) < count:
        odd = random.choice((State.FAILED, State.MISSED, State.SKIPPED, State.INTERRUPTED))
        state = odd if random.random() < bad else State.SUCCEEDED
        found += [state] * random.randint(1, 8 if state is State.SUCCEEDED else 5)
    return tuple(found[:count])


def _row_values(number: int, random: Random) -> dict[str, Any]:
    code, written = code_of(number), SCHEDULES[number % len(SCHEDULES)]
    schedule = parse_schedule(written, code=code)
    state = _ODD_STATES.get(number % 40, RegionState.TICKING)
    ticking = state is RegionState.TICKING
    recent = states(random, 10, bad=0.12 if number % 5 == 0 else 0.01)
    failing = ticking and recent[0] is State.FAILED
    last = rv.LastTick(tick_at=NOW.replace(minute=15, second=0), state=recent[0], reason=_REASONS[recent[0]])
    named = (Trouble(state),) if state in (RegionState.QUARANTINED, RegionState.HELD) else ()
    return {
        "code": code,
        "region_id": f"id-{number}",
        "name": _NAMES[_CODES[number % len(_CODES)]],
        "schedule": schedule.source,
        "written": written,
        "active": True,
        "state": state,
        "troubles": (Trouble.FAILING,) if failing else named,
        "next": schedule.next_after(NOW) if ticking else None,
        "last_tick": last,
        "last_success": NOW - random.randint(1, 200) * MINUTE,
        "late_by_intervals": 2.4 if number % 9 == 4 and ticking else 0.0,
        "recent": recent,
        "why": _WHY.get(state, "the tick of 2026-11-30T09:15:00Z failed: error: HTTP 503" if failing else None),
    }


def region_list(count: int = 200, *, total: int = 10_000) -> rv.RegionList:
    random = dice(7)
    rows = tuple(rv.RegionRow(**_row_values(number, random)) for number in range(count))
    return rv.RegionList(now=NOW, items=rows, page=1, pages=max(1, total // 200), total=total)


def ledger(rows: int = 200, columns: int = 288, *, bad: float = 0.02) -> rv.Ledger:
    random, until = dice(3), NOW.replace(minute=20, second=0)
    start, step = until - timedelta(days=1), timedelta(days=1) / columns
    return rv.Ledger(
        now=NOW,
        from_=start,
        until=until,
        bucket_seconds=step.total_seconds(),
        columns=tuple(start + number * step for number in range(columns)),
        rows=tuple(
            rv.LedgerRow(
                code=code_of(number),
                region_id=f"id-{number}",
                buckets=_gappy(states(random, columns, bad=bad), number),
                ticks=(1,) * columns,
            )
            for number in range(rows)
        ),
        page=1,
        pages=50,
        total=10_000,
    )


def _gappy(buckets: Sequence[State], number: int) -> tuple[State | None, ...]:
    """Leave the spans empty in which a region of a rarer schedule has no tick."""
    step = (1, 3, 1, 12)[number % 4]
    return tuple(state if place % step == 0 else None for place, state in enumerate(buckets))


def _tick_values(number: int, state: State, random: Random) -> dict[str, Any]:
    at = NOW.replace(minute=15, second=0) - number * 15 * MINUTE
    ran, failed = state not in (State.MISSED, State.SKIPPED), state is State.FAILED
    delay, seconds = random.uniform(1.5, 6), random.lognormvariate(1, 0.6)
    started = at + timedelta(seconds=delay)
    job = f"fr-idf-7f69c20dbcbe-{int(at.timestamp()) // 60}"
    return {
        "tick_at": at,
        "manual_uid": "",
        "state": state,
        "reason": _REASONS.get(state),
        "attempt": 3 if failed else 1 if ran else 0,
        "started_at": started if ran else None,
        "finished_at": started + timedelta(seconds=seconds) if ran else None,
        "duration_seconds": seconds if ran else None,
        "start_delay_seconds": delay if ran else None,
        "handler": "poll",
        "job_name": job if ran else None,
        "pod": f"{job}-z6f9j" if ran else None,
        "node": "node-3" if ran else None,
        "exit_code": 75 if failed else 0 if ran else None,
        "counts": {"items": 17, "requests": 4} if ran else None,
        "error_class": "UpstreamError" if failed else None,
        "error_message": _ERROR if failed else None,
        "window_start": at - 15 * MINUTE if ran else None,
        "window_end": at if ran else None,
        "rerun_by": None,
    }


def tick_rows(count: int = 50) -> tuple[rv.TickRow, ...]:
    random = dice(11)
    found = (State.FAILED, State.FAILED, *states(random, count, bad=0.12))[:count]
    return tuple(rv.TickRow(**_tick_values(number, state, random)) for number, state in enumerate(found))


def tick_list() -> rv.TickList:
    return rv.TickList(now=NOW, code="FR-IDF", region_id="id-2", items=tick_rows(), next="2026-11-29T20:45:00Z~")


def tick_values() -> dict[str, Any]:
    """Return the values of a missed tick."""
    return _tick_values(0, State.MISSED, dice(2))


def region(**changes: Any) -> rv.Region:
    """Return a region that fails. `changes` are values of its view."""
    schedule = parse_schedule("*/15 * * * *")
    moments = [NOW.replace(minute=15, second=0) + number * 15 * MINUTE for number in range(1, 6)]
    changed_by = (("region-operator", 3), ("kubectl-edit", 4))
    values = _row_values(2, dice(5)) | {
        "troubles": (Trouble.FAILING,),
        "written": schedule.written,
        "schedule": schedule.source,
        "next": moments[0],
        "why": f"the tick of 2026-11-30T09:15:00Z failed: error: {_ERROR}",
        "now": NOW,
        "row": {"id": "7f69c20d-bcbe-4e5c-9a38-1d1a7a1f1c55", "code": "FR-IDF", "bbox_min_lon": "1.4", "handler": None},
        "words": say_schedule(schedule),
        "next_ticks": tuple(moments),
        "ticks": tick_rows(),
        "creators": rv.Members(total=214, failing=3, waiting=11, last_error=_ERROR),
        "tasks": None,
        "cron_job": rv.CronJobView(
            name="fr-idf-7f69c20dbcbe",
            uid="0b1c",
            suspended=False,
            suspended_by=None,
            changed_by=tuple(
                rv.FieldChange(manager=manager, time=NOW - timedelta(days=days)) for manager, days in changed_by
            ),
        ),
        "pause": None,
        "remedy": REMEDY,
    }
    return rv.Region(**(values | changes))


def paused_region() -> rv.Region:
    return region(
        state=RegionState.PAUSED,
        troubles=(),
        why="paused by ana@example.com",
        remedy=None,
        next_ticks=(),
        next=None,
        pause=rv.Pause(
            by="ana@example.com",
            reason="the feed is being moved, see ticket 4711",
            since=NOW - timedelta(days=2),
            until=NOW + timedelta(hours=5),
        ),
    )
