"""Compares every row with its CronJob and returns the changes to make. Pure; nothing here can touch a cluster.

| region's row          | its CronJob | outcome                                                                    |
|-----------------------|-------------|----------------------------------------------------------------------------|
| active                | none        | create; blocked if a foreign CronJob has the name                          |
| active                | in sync     | unchanged                                                                  |
| active                | different   | update; the CronJob keeps its name                                         |
| active                | paused      | suspend, as long as the CronJob has the annotation                         |
| quarantined           | none        | nothing                                                                    |
| quarantined           | any         | render in full from the last good state; suspend, or run on (KeepLast)     |
| missing or not active | any         | delete; while the deletion is held: keep the last good state               |
| any                   | terminating | nothing now; the next reconcile after the deletion looks again             |

A CronJob is found by the hash of the region's id, because the CronJob's name ends with the hash. Anybody can change a
label; nobody can change a name. A held deletion follows `spec.suspend` like every other CronJob. Which deletions are
held is left to `deletion_guard`, and what "in sync" means to `ownership`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import (
    CODE_ANNOTATION,
    ID_ANNOTATION,
    cronjob_name,
    region_key,
)
from region_operator.cronjobs.last_good import last_good, placeholder, ticking_region
from region_operator.cronjobs.ownership import has_digest, in_sync
from region_operator.plan.changes import ChangeReason, Delete, Desired, LiveCronJob, Plan, Render, Write
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import Quarantined, RegionRow, printable
from region_operator.regions.schedule import parse_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

    from region_operator.cronjobs.manifest_parts import Manifest


def parse_schedules(rows: Sequence[RegionRow | Quarantined]) -> tuple[list[Desired], list[Quarantined]]:
    """Parse the schedule of every row. Return the rows that can be scheduled, and the quarantined rows."""
    desired: list[Desired] = []
    quarantined: list[Quarantined] = []
    for row in rows:
        if isinstance(row, Quarantined):
            quarantined.append(row)
            continue
        try:
            desired.append(Desired(row, parse_schedule(row.cron_schedule, code=row.code)))
        except ScheduleError as error:
            reason = f'cron_schedule "{printable(row.cron_schedule)}" is invalid: {error}'
            quarantined.append(Quarantined(row.id, row.code, reason))
    return desired, quarantined


def ticking_ids_by_code(current: Sequence[LiveCronJob]) -> dict[str, set[str]]:
    """Return, for every region code, the ids of the regions that already have a CronJob for the code."""
    ids_by_code: dict[str, set[str]] = {}
    for live in current:
        if not live.terminating and (ticking := ticking_region(live.body)):
            code, region_id = ticking
            ids_by_code.setdefault(code, set()).add(region_id)
    return ids_by_code


def make_plan(
    desired: Sequence[Desired],
    quarantined: Sequence[Quarantined],
    current: Sequence[LiveCronJob],
    *,
    render: Render,
    keep_last: bool,
    foreign_names: Set[str] = frozenset(),
) -> Plan:
    """Compare every active row with its CronJob.

    `current` holds all CronJobs that are ours, `foreign_names` the names of all other CronJobs of the namespace. With
    `keep_last` the CronJob of a quarantined row runs on; otherwise the CronJob is suspended.
    """
    live_by_key: dict[str, LiveCronJob] = {}
    for cronjob in sorted(current, key=_age):
        live_by_key.setdefault(cronjob.key, cronjob)
    kept = [_keep_quarantined(row, live_by_key.get(region_key(row.id)), keep_last=keep_last) for row in quarantined]
    blocked = [row for item in desired if (row := _blocked(item.region, live_by_key, foreign_names))]
    blocked_keys = {region_key(row.id) for row in blocked}
    wanted = (*desired, *(item for _, item in kept if item))
    planned = [item for item in wanted if region_key(item.region.id) not in blocked_keys]
    writes = [_write(item, live_by_key.get(region_key(item.region.id)), render) for item in planned]
    row_keys = {region_key(item.region.id) for item in desired} | {region_key(row.id) for row in quarantined}
    return Plan(
        writes=tuple(write for write in writes if write),
        deletes=tuple(_deletes(current, live_by_key, row_keys, render)),
        quarantined=(*(row for row, _ in kept), *blocked),
        unchanged=writes.count(None),
        paused=sum(live.paused for key, live in live_by_key.items() if key in row_keys),
        pending=sum(live.terminating for item in planned if (live := live_by_key.get(region_key(item.region.id)))),
    )


def _age(live: LiveCronJob) -> tuple[bool, str, str]:
    """Return a sort key that puts the CronJob to keep before its duplicates: a copy is younger than its original."""
    return live.terminating, live.body["metadata"].get("creationTimestamp", ""), live.name


def _blocked(region: RegionRow, live_by_key: Mapping[str, LiveCronJob], foreign_names: Set[str]) -> Quarantined | None:
    """Quarantine a region if a foreign CronJob has the name that the region's CronJob needs."""
    name = cronjob_name(region)
    if name not in foreign_names or region_key(region.id) in live_by_key:
        return None
    reason = f'its CronJob cannot be made, another one that is not ours has the name "{name}": delete that one'
    return Quarantined(region.id, region.code, reason)


def _keep_quarantined(
    row: Quarantined, live: LiveCronJob | None, *, keep_last: bool
) -> tuple[Quarantined, Desired | None]:
    """Return the quarantined row, and what its CronJob stays as. None: the row has no CronJob.

    The row's reason gets longer if the CronJob's last good state is unknown.
    """
    if live is None:
        return row, None
    if good := last_good(row.id, live.body):
        return row, Desired(*good, suspend=not keep_last)
    reason = f"{row.reason}; its CronJob was changed by somebody, and what it last was is not known: it stays suspended"
    return replace(row, reason=reason), Desired(*placeholder(row.id, row.code, live.body), suspend=True)


def _deletes(
    current: Sequence[LiveCronJob], live_by_key: Mapping[str, LiveCronJob], row_keys: Set[str], render: Render
) -> Iterator[Delete]:
    """Yield the CronJobs of regions without an active row, and the duplicates."""
    for live in current:
        if live.terminating:
            continue
        if live.key not in row_keys:
            yield Delete(live, replacement=_replacement(live, render))
        elif live is not live_by_key[live.key]:
            yield Delete(live, ChangeReason.DUPLICATE)


def _replacement(live: LiveCronJob, render: Render) -> Write | None:
    """Return what to write while the deletion of a CronJob is held. None: there is nothing to write.

    A CronJob whose last good state is unknown is left alone, unless `spec.suspend` suspends all CronJobs.
    """
    annotations = live.body["metadata"].get("annotations", {})
    region_id = annotations.get(ID_ANNOTATION, "")
    if region_key(region_id) != live.key:
        return None
    good = last_good(region_id, live.body)
    desired = Desired(*(good or placeholder(region_id, annotations.get(CODE_ANNOTATION, ""), live.body)))
    write = _write(desired, live, render)
    return write if write and (good or write.manifest["spec"]["suspend"]) else None


def _write(desired: Desired, live: LiveCronJob | None, render: Render) -> Write | None:
    """Return the write that a region's CronJob needs. None: in sync, or terminating."""
    if live is None:
        return Write(ChangeReason.ADDED, desired, render(desired, cronjob_name(desired.region)))
    if live.paused:
        desired = replace(desired, suspend=True)
    manifest = render(desired, live.name)
    if live.terminating or in_sync(manifest, live.body):
        return None
    return Write(_reason(desired, manifest, live), desired, manifest, live)


def _reason(desired: Desired, manifest: Manifest, live: LiveCronJob) -> ChangeReason:
    if has_digest(manifest, live.body):
        return ChangeReason.RESTORED
    suspend = manifest["spec"]["suspend"]
    if suspend and not live.suspended:
        return ChangeReason.PAUSED if live.paused else ChangeReason.SUSPENDED
    if live.suspended and not suspend:
        return ChangeReason.RESUMED
    return ChangeReason.UPDATED if live.schedule == desired.schedule.source else ChangeReason.RESCHEDULED
