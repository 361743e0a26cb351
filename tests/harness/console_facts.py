"""Made-up facts for the console's views: rows of the database, and objects of the cluster.

A day at 10,000 regions on which everything is wrong that can be wrong, each thing at a region or two. What the console
says about the facts is left to the product: `console_regions` and `console_values` call the product's own functions.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import count, islice
from random import Random
from typing import TYPE_CHECKING

from region_operator.console.region_queries import Scheduled
from region_operator.console.region_views import LastTick
from region_operator.console.standing import Ending, Version
from region_operator.console.tick_times import parse
from region_operator.cronjobs.labels import cronjob_name, region_key
from region_operator.plan.changes import Guarded
from region_operator.plan.guard_memory import GuardState, Hold
from region_operator.regions.region import RegionRow
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_operator.regions.schedule import Schedule

NOW = datetime(2026, 11, 30, 9, 17, 42, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REGIONS = 10_000
SOURCE = "public.region_index"
INSTALLED = NOW.replace(hour=8, minute=0, second=12) - timedelta(days=40)
HELD_SINCE = NOW.replace(minute=3, second=8)

NAMES = {
    "DE-BE": "Berlin", "DE-BY": "Bavaria", "FR-IDF": "Île-de-France", "FR-75": "Paris", "JP-13": "Tokyo",
    "BR-RJ": "Rio de Janeiro", "BR-SP": "São Paulo", "IS-1": "Reykjavík", "US-NY": "New York", "US-CA": "California",
    "GB-LND": "London", "KE-30": "Nairobi", "IN-MH": "Maharashtra", "ES-MD": "Madrid", "IT-62": "Lazio",
    "NO-03": "Oslo", "SE-AB": "Stockholm", "PL-MZ": "Masovia", "AU-NSW": "New South Wales", "CA-ON": "Ontario",
}  # fmt: skip
_OTHERS = ("UY", "UZ", "VE", "VN", "YE", "ZA", "ZM", "ZW")
"""Where all other regions are: behind the named ones, as lists are in the order of codes."""

_SCHEDULES = ("*/15 * * * *", "H * * * *", "17 3 * * 1-5", "*/5 8-17 * * *", "H H * * *", "0 6,18 * * *")
_WRITTEN = {"FR-IDF": "*/15 * * * *", "IS-1": "0 3 * * 0"}
_BAD = {"IS-1": "0 3 * * 7"}
"""What the row says; the CronJob has the schedule of before, which was good."""

HELD = ("BR-RJ", "BR-SP", "CA-ON")
"""Their rows are gone, and the guard keeps them."""
PAUSED_SINCE = {"PL-MZ": NOW - timedelta(days=9), "FR-75": NOW - timedelta(hours=5)}

ERROR_CLASS = "city_feeds.FeedGoneError"
ERROR = "https://feeds.example.com/idf.xml answers 410: the feed is gone"
_PULL = (
    'Failed to pull image "registry.example.com/region-tick/tick:0.1.0": failed to resolve reference:'
    " dial tcp 192.0.2.10:443: i/o timeout"
)
_LATEST = {
    "FR-IDF": ((State.FAILED, State.FAILED), Reason.ERROR, f"{ERROR_CLASS}: {ERROR}"),
    "JP-13": ((State.FAILED,), Reason.TIMEOUT, None),
    "KE-30": ((State.MISSED,), Reason.IMAGE, _PULL),
    "US-CA": ((State.SKIPPED, State.SKIPPED, State.FAILED), Reason.STILL_RUNNING, None),
}
"""The latest ticks of regions in trouble, the newest first. Why the newest became what it is, and its error."""
_REASONS = {
    State.SUCCEEDED: Reason.OK,
    State.MISSED: Reason.IMAGE,
    State.SKIPPED: Reason.CAPACITY,
    State.FAILED: Reason.ERROR,
    State.INTERRUPTED: Reason.TERMINATED,
}


def dice(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - repeatable is the point


def states(random: Random, count: int, *, bad: float = 0.04) -> tuple[State, ...]:
    """Return states as ledgers have them: mostly succeeded, the others in runs."""
    found: list[State] = []
    while len(found) < count:
        odd = random.choice((State.FAILED, State.MISSED, State.SKIPPED, State.INTERRUPTED))
        state = odd if random.random() < bad else State.SUCCEEDED
        found += [state] * random.randint(1, 8 if state is State.SUCCEEDED else 5)
    return tuple(found[:count])


def code_of(number: int) -> str:
    codes = tuple(NAMES)
    if number < len(codes):
        return codes[number]
    return f"{_OTHERS[number * len(_OTHERS) // (REGIONS + len(codes))]}-{number:05}"


@cache
def row_of(number: int, *, good: bool = False) -> RegionRow:
    """Return the row of a region. `good`: as the row was before anybody spoiled it."""
    code = code_of(number)
    written = _WRITTEN.get(code, _SCHEDULES[number % len(_SCHEDULES)])
    name = NAMES.get(code, f"Region {number}")
    cron = written if good else _BAD.get(code, written)
    return RegionRow(source=SOURCE, id=f"id-{number}", code=code, name=name, bbox=None, cron_schedule=cron)


@cache
def schedule_of(number: int) -> Schedule:
    """Return the schedule that a region's CronJob has."""
    row = row_of(number, good=True)
    return parse(row.cron_schedule, code=row.code)


def due(schedule: Schedule) -> Iterator[datetime]:
    """Yield the ticks of a schedule that are past, the newest first."""
    for days in count():
        day = NOW.date() - timedelta(days=days)
        if schedule.ticks_on(day):
            for hour in reversed(schedule.hours):
                for minute in reversed(schedule.minutes):
                    at = datetime.combine(day, time(hour, minute), tzinfo=UTC)
                    if at < NOW:
                        yield at


def history(number: int, ticks: int, *, troubles: bool = True, bad: float = 0.02) -> list[LastTick]:
    """Return the latest ticks of a region, the newest first. A region without a trouble succeeded at last."""
    code, moments = code_of(number), islice(due(schedule_of(number)), ticks)
    latest, newest, _ = _LATEST.get(code, ((), None, None)) if troubles else ((), None, None)
    became = (*latest, State.SUCCEEDED, *states(dice(number), ticks, bad=bad))
    paused = PAUSED_SINCE.get(code, NOW) if troubles else NOW
    found = []
    for place, (at, state) in enumerate(zip(moments, became, strict=False)):
        reason = newest if newest and not place else _REASONS[state]
        if at > paused:
            state, reason = State.SKIPPED, Reason.SUSPENDED
        found.append(LastTick(tick_at=at, state=state, reason=reason))
    return found


def numbers(*, troubles: bool) -> Iterator[int]:
    """Yield the regions that have a row or a CronJob. Of these, REGIONS have an active row."""
    return iter(range(REGIONS + len(HELD) * troubles))


@cache
def rows(*, troubles: bool) -> tuple[RegionRow, ...]:
    """Return the active rows."""
    found = (row_of(number, good=not troubles) for number in numbers(troubles=troubles))
    return tuple(row for row in found if not (troubles and row.code in HELD))


@cache
def scheduled(*, troubles: bool) -> Scheduled:
    """Return what the CronJobs say, as the ledger has it, and when each region succeeded last."""
    versions, codes, successes = {}, {}, {}
    for number in numbers(troubles=troubles):
        row, schedule = row_of(number, good=True), schedule_of(number)
        by, since = _suspended(row.code) if troubles else (None, INSTALLED)
        versions[row.id] = Version(
            cron=schedule.source,
            cronjob=cronjob_name(row),
            since=since,
            start_deadline=_start_deadline(schedule),
            suspended=by is not None,
            suspended_by=by,
        )
        codes[row.id] = row.code
        successes[row.id] = (
            _last_success(number) if troubles and row.code in (*_LATEST, *PAUSED_SINCE) else next(due(schedule))
        )
    return Scheduled(versions, codes, successes)


@cache
def _start_deadline(schedule: Schedule) -> timedelta:
    return min(schedule.start_deadline(), schedule.shortest_interval())


def _last_success(number: int) -> datetime:
    return next(tick.tick_at for tick in history(number, 30) if tick.state is State.SUCCEEDED)


def _suspended(code: str) -> tuple[str | None, datetime]:
    if code in PAUSED_SINCE:
        return "paused by ana@example.com", PAUSED_SINCE[code]
    return ("quarantined", HELD_SINCE) if code in _BAD else (None, INSTALLED)


def latest() -> dict[str, Ending]:
    """Return the newest tick of the regions in trouble, by the region's id."""
    found = {}
    for code, (ended, reason, error) in _LATEST.items():
        number = list(NAMES).index(code)
        at = next(due(schedule_of(number)))
        found[row_of(number).id] = Ending(tick_at=at, state=ended[0], reason=reason, error=error)
    return found


def guard_state() -> GuardState:
    """Return what the guards remember: they hold the deletion of HELD."""
    keys = frozenset(region_key(row_of(list(NAMES).index(code)).id) for code in HELD)
    return GuardState(holds={Guarded.DELETION: Hold(HELD_SINCE, keys)})
