"""Answers the questions about all regions: the overview, the list, the ledger, the next ticks, the plan, the forecast.

What is about one region is left to `region_answers`. Each answer costs a fixed number of queries, whatever the number
of regions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.console.cluster import describe_error
from region_operator.console.ledger_queries import find_buckets, find_regions_with
from region_operator.console.lists import (
    Filter,
    Sort,
    count_regions,
    make_row,
    need_a_look,
    next_ticks,
    select,
    sort,
)
from region_operator.console.overview import (
    conditions_of,
    holds_of,
    judge_progress,
    ready_of,
    summarize_forecast,
    tick_counts,
)
from region_operator.console.parameters import BadParameterError, Parameters, count_pages
from region_operator.console.region_queries import count_ticks, read_progress, read_revision
from region_operator.console.region_views import Ledger, LedgerRow, NextTicks, Plan, RegionList
from region_operator.console.tick_queries import find_recent
from region_operator.console.views import Forecast, Overview, Scheduler, Versions
from region_operator.kube.api import ERRORS
from region_operator.plan.forecast_report import as_json, summarize
from region_operator.plan.suspension import suspension_told
from region_operator.regions.slots import slots_of_shard
from region_tick.contract import VERSION, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.console.sight import Sight
    from region_operator.console.snapshot import KnownRegion, Snapshot

PAGE_SIZE = 200
MOST_PAGES = 10_000
COLUMNS = 288
LONGEST_SPAN = timedelta(days=31)
SHORTEST_SPAN = timedelta(minutes=1)
DEFAULT_SPAN = timedelta(days=1)
NEXT_TICKS, MOST_NEXT_TICKS = 100, 1000

_WIDTHS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 720, 1440))
"""How much time a column of the ledger may stand for."""


async def overview(sight: Sight) -> Overview:
    """Return everything on one page. Raises what `Sight.snapshot` raises."""
    scheduler, snapshot = await sight.scheduler(), await sight.snapshot()
    shard = scheduler.spec.source.shard
    async with sight.reader.reading() as connection:
        progress = await read_progress(connection, snapshot.source, slots_of_shard(shard))
        counts = await count_ticks(connection, snapshot.source)
        revision = await read_revision(connection)
    attention, total = need_a_look(snapshot.regions)
    return Overview(
        now=snapshot.now,
        scheduler=Scheduler(
            namespace=scheduler.namespace,
            name=scheduler.name,
            table=snapshot.source,
            suspended=scheduler.spec.suspend or bool(suspension_told(scheduler.status)),
            shard=f"{shard.index} of {shard.count}" if shard and shard.count > 1 else None,
        ),
        ready=ready_of(scheduler),
        conditions=conditions_of(scheduler),
        regions=count_regions(snapshot.regions),
        ticks=tick_counts(counts),
        attention=attention,
        attention_total=total,
        forecast=summarize_forecast(scheduler, sight.last_planned, snapshot.now),
        ledger=judge_progress(progress, snapshot, scheduler.namespace),
        holds=holds_of(scheduler, snapshot),
        versions=Versions(console=VERSION, operator=await _operator_release(sight), schema_revision=revision),
    )


async def regions(sight: Sight, parameters: Parameters) -> RegionList:
    """Return a page of regions, with the latest ticks of those on the page. Raises what `Sight.snapshot` raises."""
    by = parameters.choice("sort", Sort, default=Sort.CODE)
    snapshot = await sight.snapshot()
    now = snapshot.now
    chosen = _chosen(snapshot, parameters)
    page, shown = _page(sort(chosen, by, now), parameters)
    async with sight.reader.reading() as connection:
        recent = await find_recent(connection, snapshot.source, [region.region_id for region in shown], now)
    return RegionList(
        now=now,
        items=tuple(make_row(region, recent.get(region.region_id, ()), now) for region in shown),
        page=page,
        pages=count_pages(len(chosen), PAGE_SIZE),
        total=len(chosen),
    )


async def ledger(sight: Sight, parameters: Parameters) -> Ledger:
    """Return regions over time. With a filter of ticks: only regions that have such ticks.

    Raises what `Sight.snapshot` and `Sight.reading_ledger` raise.
    """
    states, reasons = parameters.choices("state", tuple(State)), parameters.texts("reason")
    snapshot = await sight.snapshot()
    now = sight.now()
    start, columns = make_columns(parameters)
    until = columns[-1] + (columns[-1] - columns[-2])
    seconds = (columns[1] - columns[0]).total_seconds()
    chosen = select(snapshot.regions, code=parameters.text("code"), filters=())
    async with sight.reading_ledger() as connection:
        if states or reasons:
            found = await find_regions_with(
                connection,
                snapshot.source,
                [region.region_id for region in chosen],
                start=start,
                until=until,
                states=states,
                reasons=reasons,
            )
            chosen = [region for region in chosen if region.region_id in found]
        page, shown = _page(chosen, parameters)
        ids = [region.region_id for region in shown]
        buckets = await find_buckets(
            connection,
            snapshot.source,
            ids,
            start=start,
            count=len(columns),
            seconds=seconds,
            states=states,
            reasons=reasons,
        )
    return Ledger(
        now=now,
        from_=start,
        until=until,
        bucket_seconds=seconds,
        columns=columns,
        rows=tuple(
            LedgerRow(
                code=region.code,
                region_id=region.region_id,
                buckets=tuple(buckets[region.region_id].states),
                ticks=tuple(buckets[region.region_id].ticks),
            )
            for region in shown
        ),
        page=page,
        pages=count_pages(len(chosen), PAGE_SIZE),
        total=len(chosen),
    )


async def coming(sight: Sight, parameters: Parameters) -> NextTicks:
    """Return the next tick of each region, the soonest first. Raises what `Sight.snapshot` raises."""
    limit = parameters.number("limit", default=NEXT_TICKS, most=MOST_NEXT_TICKS)
    snapshot = await sight.snapshot()
    now = snapshot.now
    return NextTicks(now=now, items=next_ticks(snapshot.regions, now, limit=limit))


async def plan(sight: Sight, *, oldest_seconds: float) -> Plan:
    """Return what the operator would do, by a plan that is not older. Raises what `Sight.planned` raises."""
    planned = await sight.planned(oldest_seconds=oldest_seconds)
    scheduler, snapshot = await sight.scheduler(), await sight.snapshot()
    return Plan(
        now=sight.now(),
        made_at=planned.at,
        plan=planned.report.as_json(),
        holds=holds_of(scheduler, snapshot),
    )


async def forecast(sight: Sight) -> Forecast:
    """Return whether the ticks fit. Raises what `Sight.planned` raises."""
    planned = await sight.planned()
    found = planned.report.forecast
    return Forecast(now=sight.now(), made_at=planned.at, text=summarize(found), forecast=as_json(found))


def _chosen(snapshot: Snapshot, parameters: Parameters) -> list[KnownRegion]:
    filters = parameters.choices("state", tuple(Filter))
    return select(snapshot.regions, code=parameters.text("code"), filters=filters)


def _page(found: Sequence[KnownRegion], parameters: Parameters) -> tuple[int, Sequence[KnownRegion]]:
    """Return the number of the page that is asked for, and its regions. A page behind the last one is empty."""
    page = parameters.number("page", default=1, most=MOST_PAGES)
    return page, found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]


def make_columns(parameters: Parameters) -> tuple[datetime, tuple[datetime, ...]]:
    """Return the beginning, and the beginnings of at least two and at most COLUMNS columns, each of whole minutes.

    The columns begin where multiples of their width begin, so that the picture stands still while time goes on.
    """
    until = parameters.time("until", default=parameters.now)
    start = parameters.time("from", default=until - DEFAULT_SPAN)
    if not SHORTEST_SPAN <= until - start <= LONGEST_SPAN:
        allowed = f"a time before until ({until:%Y-%m-%dT%H:%M:%SZ}), by {LONGEST_SPAN.days} days at most"
        raise BadParameterError("from", parameters.text("from"), allowed)
    width = next(width for width in _WIDTHS if (until - start) / width <= COLUMNS - 1)
    first = datetime.fromtimestamp(start.timestamp() // width.total_seconds() * width.total_seconds(), UTC)
    count = max(2, -((first - until) // width))
    columns = tuple(first + place * width for place in range(count))
    return first, columns


async def _operator_release(sight: Sight) -> str | None:
    """Return the tag of the operator's image, or the image's digest; None if nobody tells."""
    try:
        image = await sight.operator_image()
    except ERRORS as error:
        return describe_error(error)
    return image.rpartition("/")[2].partition(":")[2] or image if image else None
