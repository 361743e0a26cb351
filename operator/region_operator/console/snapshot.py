"""Knows how all regions of the table stand: one reading of rows, schedules and successes, judged region by region.

A list of regions, the counts of the overview and the search by code are made from one Snapshot, and cost no query of
their own. A Snapshot is read at most every few seconds, whoever asks, and never for each region. The latest tick is
asked for only where a tick was due since the last success. What did not change is not parsed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from region_operator.console.region_queries import read_scheduled
from region_operator.console.standing import Facts, Standing, Version, judge, may_be_troubled
from region_operator.console.tick_queries import find_latest
from region_operator.console.tick_times import parse
from region_operator.cronjobs.labels import region_key
from region_operator.database.clock import observe_clock
from region_operator.plan.conditions import ConditionType
from region_operator.plan.guard_memory import GuardState
from region_operator.plan.hold_report import approve_command
from region_operator.plan.plan import quarantine
from region_operator.plan.suspension import suspension_told
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import Quarantined
from region_operator.regions.row_parser import RowParser
from region_operator.regions.row_values import escaped, printable, text_of
from region_operator.regions.slots import ALL_SLOTS, slot_of, slots_of_shard
from region_operator.regions.source import ROWS_BEYOND, Table, read_regions
from region_operator.runtime.remote_clock import RemoteClock
from region_operator.runtime.slices import run_in_slices

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence
    from datetime import datetime

    from region_operator.console.database import Reader
    from region_operator.console.region_queries import Scheduled
    from region_operator.console.standing import Ending
    from region_operator.regions.region import RegionRow
    from region_operator.scheduler import Scheduler

REGIONS_AT_ONCE = 50
"""How many regions are judged before the event loop may turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRegion:
    """A region, and how it stands. `row` are its row's columns by the keys of spec.source.columns; {}: not read."""

    region_id: str
    code: str
    name: str
    written: str
    row: Mapping[str, Any]
    has_row: bool
    version: Version | None
    last: Ending | None
    last_success: datetime | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All regions at a moment, by code. `source` is the table's qualified name, as job_run has it."""

    now: datetime
    source: str
    regions: Sequence[KnownRegion]

    def by_code(self, code: str) -> KnownRegion | None:
        """Return the region of a code; of several, one that has a row.

        The code may be as the row has it, or as it is shown: escaped, and perhaps cut if no other code is cut so.
        """
        found = [region for region in self.regions if region.code == code]
        shown = escaped(code)
        found = found or [region for region in self.regions if escaped(region.code) == shown]
        if not found:
            found = [region for region in self.regions if printable(region.code) == code]
            found = found if len({region.code for region in found}) == 1 else []
        return min(found, key=lambda region: not region.has_row, default=None)


class SnapshotReader:
    """Reads Snapshots of one table, and remembers what was parsed. `clock` is the database's clock."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._parser = RowParser()
        self._pending: dict[str, datetime] = {}
        """Since when regions have been seen without a CronJob."""
        self.clock = RemoteClock()

    async def read(self, scheduler: Scheduler) -> Snapshot:
        """Read the regions of a RegionScheduler.

        Raises the errors of `regions.source`, and what `Reader.reading` raises.
        """
        database = await self._reader.open()
        spec = scheduler.spec
        source = str(Table.parse(spec.source.table, default_schema=database.schema))
        slots = slots_of_shard(spec.source.shard)
        reading = await read_regions(
            database.engine,
            spec.source,
            default_schema=database.schema,
            slots=slots,
            max_rows=spec.max_regions + ROWS_BEYOND,
        )
        async with self._reader.reading() as connection:
            now = await observe_clock(connection, self.clock)
            scheduled = await read_scheduled(connection, source)
            if slots != ALL_SLOTS:
                kept = {key: version for key, version in scheduled.versions.items() if slot_of(key) in slots}
                scheduled = type(scheduled)(kept, scheduled.codes, scheduled.successes)
        due = await run_in_slices(_find_due(scheduled, now))
        async with self._reader.reading() as connection:
            since = {region_id: scheduled.successes.get(region_id) for region_id in due}
            latest = await find_latest(connection, source, since, now)
        rows = await run_in_slices(
            self._parser.parse(reading.rows, source=source, ticking_ids=partial(_ticking_ids, scheduled))
        )
        without = [row.id for row in rows if row.id not in scheduled.versions]
        self._pending = {region_id: self._pending.get(region_id, now) for region_id in without}
        texts = {text_of(row["id"]): row for row in reversed(reading.rows)}  # of an id's rows the first, as the parser
        judging = judge_all(
            rows,
            texts,
            scheduled,
            latest,
            self._pending,
            scheduler,
            source=source,
            now=now,
            complete=reading.complete,
        )
        return await run_in_slices(judging)


def _ticking_ids(scheduled: Scheduled, codes: Collection[str]) -> dict[str, set[str]]:
    """Return which regions tick for the codes already, by what their CronJobs say."""
    ids: dict[str, set[str]] = {code: set() for code in codes}
    for region_id in scheduled.versions:
        if (code := scheduled.codes[region_id]) in ids:
            ids[code].add(region_id)
    return ids


def _find_due(scheduled: Scheduled, now: datetime) -> Generator[None, None, list[str]]:
    """Return the regions whose latest tick must be asked for. Yield now and then."""
    due: list[str] = []
    for place, (region_id, version) in enumerate(scheduled.versions.items()):
        if place % REGIONS_AT_ONCE == REGIONS_AT_ONCE - 1:
            yield
        if may_be_troubled(version, scheduled.successes.get(region_id), now):
            due.append(region_id)
    return due


def judge_all(
    rows: Sequence[RegionRow | Quarantined],
    texts: Mapping[str, Mapping[str, Any]],
    scheduled: Scheduled,
    latest: Mapping[str, Ending],
    pending: Mapping[str, datetime],
    scheduler: Scheduler,
    *,
    source: str,
    now: datetime,
    complete: bool,
) -> Generator[None, None, Snapshot]:
    """Judge each region, also those that tick without a row. Yield now and then.

    If the rows are not `complete`, a region that ticks is taken to have one: nothing stops for a row that is not read.
    """
    holds = GuardState.from_status(scheduler.status).holds
    suspension, not_ready = suspension_told(scheduler.status), _why_not_ready(scheduler)
    held = {key: hold for hold in holds.values() for key in hold.held}
    by_id: dict[str, RegionRow | Quarantined | None] = dict.fromkeys(scheduled.versions)
    by_id |= {row.id: row for row in rows}
    regions: list[KnownRegion] = []
    for place, (region_id, row) in enumerate(by_id.items()):
        if place % REGIONS_AT_ONCE == REGIONS_AT_ONCE - 1:
            yield
        version, written = scheduled.versions.get(region_id), texts.get(region_id, {})
        hold = held.get(region_key(region_id)) if held else None
        last, success = latest.get(region_id), scheduled.successes.get(region_id)
        has_row = row is not None or not complete
        facts = Facts(
            has_row=has_row,
            quarantine=_why_quarantined(row),
            version=version,
            held=hold.kind if hold else None,
            held_since=hold.since if hold else None,
            approve=approve_command(scheduler, hold) if hold else "",
            last_success=success,
            last=last,
            timeout=scheduler.spec.tick.timeout,
            suspension=suspension,
            pending_since=pending.get(region_id),
            look_every=scheduler.spec.refresh_interval,
            not_ready=not_ready,
        )
        regions.append(
            KnownRegion(
                region_id=region_id,
                code=_whole_code(row, written) if row else scheduled.codes[region_id],
                name=text_of(written.get("name")),
                written=text_of(written.get("cron_schedule")),
                row=written,
                has_row=has_row,
                version=version,
                last=last,
                last_success=success,
                standing=judge(facts, now),
            )
        )
    return Snapshot(now, source, sorted(regions, key=lambda region: (region.code, region.region_id)))


def _whole_code(row: RegionRow | Quarantined, written: Mapping[str, Any]) -> str:
    """Return a row's code. A Quarantined has it cut, which is no name for a pipe."""
    return escaped(text_of(written.get("code"))) if isinstance(row, Quarantined) else row.code


def _why_not_ready(scheduler: Scheduler) -> str:
    conditions = scheduler.status.get("conditions", [])
    ready = next((each for each in conditions if each["type"] == ConditionType.READY), {"status": "True"})
    return "" if ready["status"] == "True" else f"the RegionScheduler is not ready, and says why: {ready['reason']}"


def _why_quarantined(row: RegionRow | Quarantined | None) -> str:
    if row is None:
        return ""
    if isinstance(row, Quarantined):
        return row.reason
    try:
        parse(row.cron_schedule, code=row.code)
    except ScheduleError as error:
        return quarantine(row, error).reason
    return ""
