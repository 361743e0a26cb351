"""Views of made-up regions and ticks: the facts are in `console_facts`, and each text comes from the product."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from region_operator.console import region_views as rv
from region_operator.console.answers import NEXT_TICKS, PAGE_SIZE, make_columns
from region_operator.console.gone_regions import FormerRegion, as_gone
from region_operator.console.ledger_queries import WORST_FIRST
from region_operator.console.lists import make_row, next_ticks, row_values
from region_operator.console.parameters import Parameters, count_pages
from region_operator.console.region_answers import NEXT_SHOWN, TICKS_SHOWN
from region_operator.console.snapshot import judge_all
from region_operator.console.tick_times import parse
from region_operator.regions.row_values import text_of
from region_operator.regions.schedule_words import say_schedule
from region_tick.contract import ExitCode, State
from tests.harness import console_facts as facts
from tests.harness.console_facts import MINUTE, NOW
from tests.harness.console_plan import scheduler
from tests.harness.examples import finish

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from region_operator.console.snapshot import KnownRegion, Snapshot

IDF = "FR-IDF"
"""The region that has a page: its last two ticks failed."""


@cache
def snapshot(*, troubles: bool = True) -> Snapshot:
    """Return all regions, as the console judges them."""
    rows = facts.rows(troubles=troubles)
    return finish(
        judge_all(
            rows,
            {row.id: _columns_of(row.id, row.code, row.name, row.cron_schedule) for row in rows},
            facts.scheduled(troubles=troubles),
            facts.latest() if troubles else {},
            {},
            scheduler(troubles=troubles),
            source=facts.SOURCE,
            now=NOW,
            complete=True,
        )
    )


def known_region(code: str) -> KnownRegion:
    """Return a region of the snapshot."""
    found = snapshot().by_code(code)
    assert found, code
    return found


def _columns_of(region_id: str, code: str, name: str, cron: str) -> dict[str, Any]:
    corners = dict.fromkeys(("bbox_min_lon", "bbox_min_lat", "bbox_max_lon", "bbox_max_lat"))
    return {"id": region_id, "code": code, "name": name, **corners, "cron_schedule": cron, "handler": "city_feeds"}


def _number(known: KnownRegion) -> int:
    return int(known.region_id.removeprefix("id-"))


def _recent(known: KnownRegion, ticks: int = 10, *, bad: float = 0.02) -> list[rv.LastTick]:
    return facts.history(_number(known), ticks, bad=bad) if known.version else []


def region_list(count: int = PAGE_SIZE) -> rv.RegionList:
    known = snapshot().regions
    items = tuple(make_row(region, _recent(region), NOW) for region in known[:count])
    return rv.RegionList(now=NOW, items=items, page=1, pages=count_pages(len(known), PAGE_SIZE), total=len(known))


def coming() -> rv.NextTicks:
    return rv.NextTicks(now=NOW, items=next_ticks(snapshot().regions, NOW, limit=NEXT_TICKS))


def ledger(rows: int = PAGE_SIZE, *, bad: float = 0.02, **given: str) -> rv.Ledger:
    """Return the ledger of a day. `given` are the parameters of the request; `from` is written `from_`."""
    parameters = Parameters({name.rstrip("_"): value for name, value in given.items()}, NOW)
    start, columns = make_columns(parameters)
    step, known = columns[1] - columns[0], snapshot().regions
    return rv.Ledger(
        now=NOW,
        from_=start,
        until=columns[-1] + step,
        bucket_seconds=step.total_seconds(),
        columns=columns,
        rows=tuple(_ledger_row(region, columns, step, bad) for region in known[:rows]),
        page=1,
        pages=count_pages(len(known), PAGE_SIZE),
        total=len(known),
    )


def _ledger_row(known: KnownRegion, columns: tuple[datetime, ...], step: timedelta, bad: float) -> rv.LedgerRow:
    states: list[State | None] = [None] * len(columns)
    ticks = [0] * len(columns)
    for tick in _recent(known, 300, bad=bad):
        place = (tick.tick_at - columns[0]) // step
        if place >= 0:
            states[place] = min(tick.state, states[place] or tick.state, key=WORST_FIRST.index)
            ticks[place] += 1
    return rv.LedgerRow(code=known.code, region_id=known.region_id, buckets=tuple(states), ticks=tuple(ticks))


def _tick_row(tick: rv.LastTick, cronjob: str, random: Random) -> rv.TickRow:
    """Return a tick as job_run has it."""
    at, state = tick.tick_at, tick.state
    ran, failed = state not in (State.MISSED, State.SKIPPED), state is State.FAILED
    delay, seconds = random.uniform(22, 30), random.lognormvariate(1, 0.6)
    started = at + timedelta(seconds=delay)
    job = f"{cronjob}-{int(at.timestamp()) // 60}"
    suffix = "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
    return rv.TickRow(
        tick_at=at,
        manual_uid="",
        state=state,
        reason=tick.reason,
        attempt=int(ran),
        started_at=started if ran else None,
        finished_at=started + timedelta(seconds=seconds) if ran else None,
        duration_seconds=seconds if ran else None,
        start_delay_seconds=delay if ran else None,
        handler="city_feeds",
        job_name=job if ran else None,
        pod=f"{job}-{suffix}" if ran else None,
        node="node-3" if ran else None,
        exit_code=int(ExitCode.DATA if failed else ExitCode.FINAL) if ran else None,
        counts={"items": 17, "requests": 4} if state is State.SUCCEEDED else None,
        error_class=facts.ERROR_CLASS if failed else None,
        error_message=facts.ERROR if failed else None,
        window_start=at - 15 * MINUTE if ran else None,
        window_end=at if ran else None,
        rerun_by=None,
    )


def tick_rows(count: int = TICKS_SHOWN, *, of: str = IDF) -> tuple[rv.TickRow, ...]:
    """Return the latest ticks of a region, the newest first."""
    random = facts.dice(11)
    known = known_region(of)
    assert known.version
    return tuple(_tick_row(tick, known.version.cronjob, random) for tick in _recent(known, count))


def tick_list() -> rv.TickList:
    known, items = known_region(IDF), tick_rows()
    older = f"{items[-1].tick_at:%Y-%m-%dT%H:%M:%SZ}~"
    return rv.TickList(
        now=NOW,
        code=known.code,
        region_id=known.region_id,
        items=items,
        next=older,
        counted_until=NOW - 3 * MINUTE,
        gone=None,
    )


def region(of: str = IDF, /, **changes: Any) -> rv.Region:
    """Return a region. `changes` are values of its view."""
    known = known_region(of)
    version = known.version
    assert version
    schedule = parse(version.cron)
    moments = [NOW]
    while len(moments) <= NEXT_SHOWN:
        moments.append(schedule.next_after(moments[-1]))
    findings = known.standing.findings
    cronjob = rv.CronJobView(
        name=version.cronjob,
        uid="0b1c",
        suspended=version.suspended,
        suspended_by=version.suspended_by,
        changed_by=(rv.FieldChange(manager="region-operator", time=facts.INSTALLED),),
    )
    values = row_values(known, _recent(known), NOW) | {
        "now": NOW,
        "row": {key: None if value is None else text_of(value) for key, value in known.row.items()},
        "words": say_schedule(schedule),
        "next_ticks": () if version.suspended else tuple(moments[1:]),
        "ticks": tick_rows(of=of),
        "creators": rv.Members(total=214, failing=0, waiting=11, last_error=None),
        "tasks": None,
        "cron_job": cronjob,
        "pause": None,
        "remedy": findings[0].remedy if findings else None,
    }
    return rv.Region(**(values | changes))


def paused_region() -> rv.Region:
    pause = rv.Pause(
        by="ana@example.com",
        reason="the feed is being moved, see ticket 4711",
        since=facts.PAUSED_SINCE["FR-75"],
        until=NOW + timedelta(hours=5),
    )
    return region("FR-75", pause=pause)


def gone_region() -> rv.Region:
    """Return the region IDF after its row was deleted, a minute ago."""
    was = region()
    former = FormerRegion(
        region_id=was.region_id,
        code=IDF,
        cron=was.schedule or "",
        suspended=None,
        until=None,
        last_success=was.last_success,
    )
    known = as_gone(former, NOW - MINUTE, facts.SOURCE)
    values = row_values(known, _recent(known_region(IDF)), NOW) | {"row": {}, "words": "", "next_ticks": ()}
    values |= {"creators": None, "cron_job": None, "remedy": known.standing.remedy}
    return replace(was, **values)
