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

A region's part of the plan depends on the region's row and CronJobs alone. A CronJob is found by the hash of the
region's id, because the CronJob's name ends with the hash. Anybody can change a label; nobody can change a name. A held
deletion follows `spec.suspend` like every other CronJob. Which deletions are held is left to `deletion_guard`, what "in
sync" means to `ownership`, and which regions need a look at all to `planner`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from region_operator.cronjobs.labels import DIGEST_ANNOTATION, cronjob_name, region_key
from region_operator.cronjobs.last_good import last_good, placeholder
from region_operator.cronjobs.ownership import foreign_fields, has_additions, owns_all
from region_operator.plan.changes import ChangeReason, Delete, Desired, Plan, Render, Write
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import Quarantined, RegionRow, printable
from region_operator.regions.schedule import parse_schedule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.cronjobs.manifest_parts import Manifest

Row = RegionRow | Quarantined
"""An active row, or the reason why the row cannot be scheduled."""


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """A region's part of the plan. `quarantined` is set if the region's row is not scheduled, for any reason."""

    write: Write | None = None
    deletes: tuple[Delete, ...] = ()
    quarantined: Quarantined | None = None
    unchanged: bool = False
    paused: bool = False
    pending: bool = False
    """Whether the region must wait for a terminating CronJob before it gets a new CronJob."""


def ticking_ids_by_code(current: Iterable[LiveCronJob], codes: Collection[str]) -> dict[str, set[str]]:
    """Return, for each of the codes, the ids of the regions that already have a CronJob for the code."""
    ids_by_code: dict[str, set[str]] = {code: set() for code in codes}
    for live in current:
        if live.rendered.ticks_for and not live.terminating:
            code, region_id = live.rendered.ticks_for
            if code in ids_by_code:
                ids_by_code[code].add(region_id)
    return ids_by_code


def group_by_region(current: Iterable[LiveCronJob]) -> dict[str, tuple[LiveCronJob, ...]]:
    """Return the CronJobs of each region key. The first CronJob is the region's; the others are its duplicates.

    A copy is younger than its original.
    """
    by_key: dict[str, tuple[LiveCronJob, ...]] = {}
    for live in current:
        others = by_key.get(live.key, ())
        by_key[live.key] = tuple(sorted((*others, live), key=_age)) if others else (live,)
    return by_key


def plan_region(
    row: Row | None, lives: Sequence[LiveCronJob], *, render: Render, keep_last: bool, foreign_names: Collection[str]
) -> RegionPlan:
    """Compare one region's row with the region's CronJobs, the one to keep first.

    `row` is None if the region has no active row. With `keep_last` the CronJob of a quarantined row runs on; otherwise
    the CronJob is suspended.
    """
    live = lives[0] if lives else None
    if row is None:
        return RegionPlan(deletes=tuple(_delete(gone, render) for gone in lives if not gone.terminating))
    quarantined, desired = _wanted(row, live, keep_last=keep_last, foreign_names=foreign_names)
    write = _write(desired, live, render) if desired else None
    return RegionPlan(
        write=write,
        deletes=tuple(Delete(copy, ChangeReason.DUPLICATE) for copy in lives[1:] if not copy.terminating),
        quarantined=quarantined,
        unchanged=desired is not None and write is None,
        paused=live is not None and live.paused,
        pending=desired is not None and live is not None and live.terminating,
    )


def sum_up(regions: Collection[RegionPlan]) -> Plan:
    """Put the parts of all regions together."""
    return Plan(
        writes=tuple(region.write for region in regions if region.write),
        deletes=tuple(chain.from_iterable(region.deletes for region in regions if region.deletes)),
        quarantined=tuple(region.quarantined for region in regions if region.quarantined),
        unchanged=sum(region.unchanged for region in regions),
        paused=sum(region.paused for region in regions),
        pending=sum(region.pending for region in regions),
    )


def _age(live: LiveCronJob) -> tuple[bool, str, str]:
    """Return a sort key that puts the CronJob to keep before its duplicates."""
    return live.terminating, live.created_at, live.name


def _wanted(
    row: Row, live: LiveCronJob | None, *, keep_last: bool, foreign_names: Collection[str]
) -> tuple[Quarantined | None, Desired | None]:
    """Return why a row is not scheduled, None if the row is, and the wanted CronJob, None if there is to be none."""
    if isinstance(row, Quarantined):
        return _keep_quarantined(row, live, keep_last=keep_last)
    try:
        desired = Desired(row, parse_schedule(row.cron_schedule, code=row.code))
    except ScheduleError as error:
        reason = f'cron_schedule "{printable(row.cron_schedule)}" is invalid: {error}'
        return _keep_quarantined(Quarantined(row.id, row.code, reason), live, keep_last=keep_last)
    if live is None and (blocked := _blocked(row, foreign_names)):
        return blocked, None
    return None, desired


def _blocked(region: RegionRow, foreign_names: Collection[str]) -> Quarantined | None:
    """Quarantine a region if a foreign CronJob has the name that the region's CronJob needs."""
    name = cronjob_name(region) if foreign_names else ""
    if name not in foreign_names:
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
    if good := last_good(row.id, live):
        return row, Desired(*good, suspend=not keep_last)
    reason = f"{row.reason}; its CronJob was changed by somebody, and what it last was is not known: it stays suspended"
    return replace(row, reason=reason), Desired(*placeholder(row.id, row.code, live), suspend=True)


def _delete(live: LiveCronJob, render: Render) -> Delete:
    return Delete(live, replacement=_replacement(live, render))


def _replacement(live: LiveCronJob, render: Render) -> Write | None:
    """Return what to write while the deletion of a CronJob is held. None: there is nothing to write.

    A CronJob whose last good state is unknown is left alone, unless `spec.suspend` suspends all CronJobs.
    """
    if region_key(live.region_id) != live.key:
        return None
    good = last_good(live.region_id, live)
    desired = Desired(*(good or placeholder(live.region_id, live.code, live)))
    write = _write(desired, live, render)
    return write if write and (good or _suspends(desired, live, render)) else None


def _suspends(desired: Desired, live: LiveCronJob, render: Render) -> bool:
    return bool(live.paused or render(desired, live.name)["spec"]["suspend"])


def _write(desired: Desired, live: LiveCronJob | None, render: Render) -> Write | None:
    """Return the write that a region's CronJob needs. None: in sync, or terminating."""
    if live is None:
        return Write(ChangeReason.ADDED, desired, cronjob_name(desired.region))
    if live.paused:
        desired = replace(desired, suspend=True)
    if live.terminating:
        return None
    manifest = render(desired, live.name)
    body = None if live.body is None else msgspec.json.decode(live.body)
    if _in_sync(manifest, live, body):
        return None
    others = () if body is None else tuple(sorted({other.manager for other in foreign_fields(manifest, body)}))
    return Write(_reason(desired, manifest, live), desired, live.name, live, changed_by=others)


def _in_sync(manifest: Manifest, live: LiveCronJob, body: Mapping[str, Any] | None) -> bool:
    return (
        _has_digest(manifest, live)
        and owns_all(live.applied, manifest)
        and not (body is not None and has_additions(manifest, body))
    )


def _has_digest(manifest: Manifest, live: LiveCronJob) -> bool:
    return bool(manifest["metadata"]["annotations"][DIGEST_ANNOTATION] == live.digest)


def _reason(desired: Desired, manifest: Manifest, live: LiveCronJob) -> ChangeReason:
    if _has_digest(manifest, live):
        return ChangeReason.RESTORED
    suspend = manifest["spec"]["suspend"]
    if suspend and not live.suspended:
        return ChangeReason.PAUSED if live.paused else ChangeReason.SUSPENDED
    if live.suspended and not suspend:
        return ChangeReason.RESUMED
    return ChangeReason.UPDATED if live.schedule == desired.schedule.source else ChangeReason.RESCHEDULED
