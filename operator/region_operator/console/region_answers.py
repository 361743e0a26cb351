"""Answers the questions about one region: the region itself, its ticks, and why a tick became what it is."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DataError

from region_operator.console.chain import Evidence, explain, summarize
from region_operator.console.cluster import describe_error
from region_operator.console.gone_regions import as_gone, find_former
from region_operator.console.lists import row_values
from region_operator.console.not_found import no_region, no_run, no_tick, renamed
from region_operator.console.parameters import BadParameterError, Parameters, read_time
from region_operator.console.reasons import explain_reason, say_suspended_by
from region_operator.console.region_queries import TASKS_SECONDS, count_creators, count_tasks, read_version_at
from region_operator.console.region_views import CronJobView, FieldChange, Pause, Region, Tick, TickList, TickRow
from region_operator.console.suspended_ticks import read_counted_until
from region_operator.console.tick_queries import FARTHEST_BACK, find_recent, find_tick, find_ticks
from region_operator.console.tick_times import parse
from region_operator.console.time_words import iso
from region_operator.cronjobs.labels import SuspendedBy
from region_operator.kube.api import ERRORS
from region_operator.regions.schedule_words import say_schedule
from region_operator.regions.slots import slots_of_shard
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from region_operator.console.chain import SeenCronJob
    from region_operator.console.cluster import Cluster
    from region_operator.console.sight import Sight
    from region_operator.console.snapshot import KnownRegion, Snapshot

TICKS_SHOWN, TICKS_AT_MOST = 50, 500
NEXT_SHOWN = 5
_SOON = timedelta(minutes=1)


async def region(sight: Sight, code: str) -> Region:
    """Return all about one region. Raises NotFoundError and what `Sight.snapshot` raises."""
    snapshot = await sight.snapshot()
    found, now = await find_region(sight, snapshot, code), snapshot.now
    async with sight.reader.reading() as connection:
        source, region_id = snapshot.source, found.region_id
        recent = await find_recent(connection, source, [region_id], now)
        ticks = await find_ticks(
            connection, source, region_id, since=now - FARTHEST_BACK, until=now + _SOON, limit=TICKS_SHOWN
        )
        creators = await count_creators(connection, source, region_id)
    counting = sight.reader.reading(statement_seconds=TASKS_SECONDS)
    tasks = await count_tasks(counting, source, region_id) if creators else None
    cronjob = await _cronjob(sight.cluster, found)
    schedule = parse(found.version.cron) if found.version else None
    return Region(
        **row_values(found, recent.get(region_id, ()), now),
        now=now,
        row={key: None if value is None else str(value) for key, value in found.row.items()},
        words=say_schedule(schedule) if schedule else "",
        next_ticks=tuple(_next_ticks(found, now)),
        ticks=tuple(ticks),
        creators=creators,
        tasks=tasks,
        cron_job=None if cronjob is None else _cronjob_view(cronjob, found),
        pause=_pause(found, cronjob),
        remedy=found.standing.remedy,
    )


async def ticks(sight: Sight, code: str, parameters: Parameters) -> TickList:
    """Return a region's ticks, the newest first. Raises NotFoundError and what `Sight.snapshot` raises."""
    states, reasons = parameters.choices("state", tuple(State)), parameters.texts("reason")
    limit = parameters.number("limit", default=TICKS_SHOWN, most=TICKS_AT_MOST)
    snapshot = await sight.snapshot()
    found, now = await find_region(sight, snapshot, code), sight.now()
    until, before_uid = parameters.place("before", default=now + _SOON)
    async with sight.reader.reading() as connection:
        # Before the ticks: what the ledger counts meanwhile is then behind `counted_until`, and not lacking for ever.
        counted_until = await read_counted_until(connection, snapshot.source, found.region_id)
        items = await find_ticks(
            connection,
            snapshot.source,
            found.region_id,
            since=parameters.time("since", default=now - FARTHEST_BACK),
            until=until,
            before_uid=before_uid,
            states=states,
            reasons=reasons,
            limit=limit + 1,
        )
    last = items[limit - 1] if len(items) > limit else None
    return TickList(
        now=now,
        code=found.code,
        region_id=found.region_id,
        items=tuple(items[:limit]),
        next=f"{iso(last.tick_at)}~{last.manual_uid}" if last else None,
        counted_until=counted_until,
        gone=found.standing.why if not found.has_row and found.version is None else None,
    )


async def tick(sight: Sight, code: str, tick_at: str, parameters: Parameters) -> Tick:
    """Return a tick, and why it became what it is. Raises NotFoundError and what `Sight.snapshot` raises."""
    snapshot = await sight.snapshot()
    found, now, manual_uid = await find_region(sight, snapshot, code), sight.now(), parameters.text("manual")
    at = read_time(tick_at, now)
    if at is None:
        raise BadParameterError("the tick's time", tick_at, "a time like 2026-11-30T01:05:00Z")
    async with sight.reader.reading() as connection:
        # Before the tick, as for a list of ticks.
        counted_until = await read_counted_until(connection, snapshot.source, found.region_id)
        row = await find_tick(connection, snapshot.source, found.region_id, at, manual_uid)
        version = await read_version_at(connection, snapshot.source, found.region_id, at)
        if row is None and manual_uid:
            raise no_run(found.code, at, manual_uid)
        if row is None:
            raise no_tick(found.code, at, now, version=version, counted_until=counted_until)
    seen, made, failed_log = row
    evidence = await _evidence(sight.cluster, found, seen, Evidence(version=version, made=made))
    explanation = explain_reason(seen.reason)
    fine = seen.state in (State.SUCCEEDED, State.RUNNING)
    values = {each.name: getattr(seen, each.name) for each in fields(TickRow)}
    return Tick(
        **values,
        now=now,
        code=found.code,
        region_id=found.region_id,
        chain=explain(seen, evidence),
        summary=summarize(found.code, seen),
        remedy=None if fine else explanation.remedy,
        logs=logs_command(sight.cluster.namespace, seen, evidence),
        failed_log=failed_log,
    )


async def find_region(sight: Sight, snapshot: Snapshot, code: str) -> KnownRegion:
    """Return the region of a code, also one that is gone. Raises NotFoundError and what `Sight.snapshot` raises."""
    if found := snapshot.by_code(code):
        return found
    if "\0" in code:  # no text of Postgres can have it
        raise no_region(code, snapshot.source)
    slots = slots_of_shard((await sight.scheduler()).spec.source.shard)
    try:
        async with sight.reader.reading() as connection:
            former = await find_former(connection, snapshot.source, code, slots)
    except (DataError, UnicodeEncodeError):  # no text of this database
        former = None
    if former is None:
        raise no_region(code, snapshot.source)
    if known := next((region for region in snapshot.regions if region.region_id == former.region_id), None):
        if not known.code.strip():  # nobody can ask for the region by that
            return replace(known, code=code)
        raise renamed(code, snapshot.source, known.code)
    if former.until is None:  # its CronJob came after the regions were read
        raise no_region(code, snapshot.source)
    return as_gone(former, former.until, snapshot.source)


def _next_ticks(found: KnownRegion, now: datetime) -> Iterator[datetime]:
    if found.version is None or found.version.suspended:
        return
    schedule, at = parse(found.version.cron), now
    for _ in range(NEXT_SHOWN):
        at = schedule.next_after(at)
        yield at


async def _cronjob(cluster: Cluster, found: KnownRegion) -> SeenCronJob | None:
    """Return the region's CronJob; None where it is gone, or the API server does not tell."""
    if found.version is None:
        return None
    try:
        return await cluster.cronjob(found.version.cronjob)
    except ERRORS:
        return None


def _cronjob_view(cronjob: SeenCronJob, found: KnownRegion) -> CronJobView:
    stored = found.version.suspended_by if found.version and cronjob.suspended else None
    return CronJobView(
        name=cronjob.name,
        uid=cronjob.uid,
        suspended=cronjob.suspended,
        suspended_by=say_suspended_by(stored),
        changed_by=tuple(FieldChange(manager=manager, time=time) for manager, time in cronjob.managers),
    )


def _pause(found: KnownRegion, cronjob: SeenCronJob | None) -> Pause | None:
    """Return who paused the region; None if nobody did. Without annotations, the field's owner and the version tell."""
    version = found.version
    if version is None or not version.suspended or version.suspended_by in (SuspendedBy.SPEC, "quarantined"):
        return None
    named = version.suspended_by.removeprefix("paused by ") if version.suspended_by else None
    if cronjob is None:
        return Pause(by=named, reason=None, since=version.since, until=None)
    return Pause(
        by=cronjob.paused_by or named,
        reason=cronjob.paused_reason,
        since=cronjob.paused_since or version.since,
        until=cronjob.paused_until,
    )


async def _evidence(cluster: Cluster, found: KnownRegion, seen: TickRow, known: Evidence) -> Evidence:
    """Return what the cluster still knows of a tick, all questions at once."""
    cronjob = known.version.cronjob if known.version else found.version.cronjob if found.version else ""
    names = [name for name in (seen.job_name, seen.pod) if name]
    try:
        about_cronjob, job, pods = await asyncio.gather(
            cluster.cronjob(cronjob) if cronjob else _nothing(),
            cluster.job(seen.job_name) if seen.job_name else _nothing(),
            cluster.pods(seen.job_name) if seen.job_name else _nothing(()),
        )
        events = await cluster.events([*names, *(pod.name for pod in pods)])
    except ERRORS as error:
        return Evidence(version=known.version, made=known.made, unseen=describe_error(error))
    return Evidence(version=known.version, made=known.made, cronjob=about_cronjob, job=job, pods=pods, events=events)


async def _nothing(value: Any = None) -> Any:
    return value


def logs_command(namespace: str, seen: TickRow, evidence: Evidence) -> str | None:
    """Return the command that shows the logs; None where there never was a pod, or no pod is left."""
    if not evidence.pods:
        return None
    return f"kubectl logs -n {namespace} --prefix --tail=-1 -l batch.kubernetes.io/job-name={seen.job_name}"
