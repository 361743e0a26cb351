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

If another CronJob has the code of an active row (`code_owners`):

| the region's CronJob | the other CronJob's row | outcome                                                            |
|----------------------|-------------------------|--------------------------------------------------------------------|
| none                 | none                    | replace: create when the other CronJob is deleted                  |
| none                 | any                     | quarantine: wait for the code                                      |
| any                  | any or none             | quarantine: keep the old code, and follow the row in all else      |

A region's part of the plan depends on the region's row, its CronJobs and the CronJobs that have its code. A CronJob is
found by the hash of the region's id, because the CronJob's name ends with the hash. Anybody can change a label; nobody
can change a name. A held deletion is suspended with all like every other CronJob. Which changes are held is left to
`deletion_guard`, what "in sync" means to `ownership`, and which regions need a look at all to `planner`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import SuspendedBy, cronjob_name
from region_operator.cronjobs.last_good import last_good, placeholder
from region_operator.plan.changes import ChangeReason, Delete, Desired, Guarded, Plan, Render, Wait, Write
from region_operator.plan.comparison import write_for, write_last_good
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import MAX_NAMED_REGIONS, Quarantined, RegionRow
from region_operator.regions.row_values import printable
from region_operator.regions.schedule import parse_schedule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.code_owners import Owners
    from region_operator.regions.schedule import Schedule

Row = RegionRow | Quarantined
"""An active row, or the reason why the row cannot be scheduled."""

FACTOR = 10
"""A region whose mean interval grows by more than this factor counts as a region that stops. If the interval shrinks by
more, the region counts as one that speeds up.
"""


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
    wait: Wait | None = None
    replaces: str = ""
    """The name of the CronJob that must be deleted before `write` creates one for the same code."""


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
    row: Row | None,
    lives: Sequence[LiveCronJob],
    *,
    render: Render,
    keep_last: bool,
    foreign_names: Collection[str],
    owners: Owners = (),
    replaces: bool = False,
) -> RegionPlan:
    """Compare one region's row with the region's CronJobs, the one to keep first.

    `row` is None if the region has no active row. With `keep_last` the CronJob of a quarantined row runs on; otherwise
    the CronJob is suspended. `owners` are the CronJobs of other regions that have the row's code; `replaces` says that
    there is one, without a row, and that the region takes its place.
    """
    live = lives[0] if lives else None
    if row is None:
        return RegionPlan(deletes=tuple(_delete(gone, render) for gone in lives if not gone.terminating))
    quarantined, desired = _wanted(row, live, keep_last=keep_last, foreign_names=foreign_names)
    wait = None
    if owners and not quarantined and not replaces:
        wait = Wait(quarantined := _lacks_code(row, owners), frozenset(owner.name for owner in owners))
        desired = _with_its_code(row, live)
    write = write_for(desired, live, render) if desired else None
    return RegionPlan(
        write=_guard(write, live, render, is_bad=bool(quarantined and not wait)) if write else None,
        deletes=tuple(Delete(copy, ChangeReason.DUPLICATE) for copy in lives[1:] if not copy.terminating),
        quarantined=quarantined,
        unchanged=desired is not None and write is None and not (live and live.terminating),
        paused=live is not None and live.paused,
        pending=desired is not None and live is not None and live.terminating,
        wait=wait,
        replaces=owners[0].name if write and replaces else "",
    )


def sum_up(regions: Collection[RegionPlan]) -> Plan:
    """Put the parts of all regions together."""
    successors = {region.replaces: region.write for region in regions if region.replaces}
    deletes = chain.from_iterable(region.deletes for region in regions if region.deletes)
    return Plan(
        writes=tuple(region.write for region in regions if region.write and not region.replaces),
        deletes=tuple(_with_successor(delete, successors) if successors else delete for delete in deletes),
        quarantined=tuple(region.quarantined for region in regions if region.quarantined),
        unchanged=sum(region.unchanged for region in regions),
        paused=sum(region.paused for region in regions),
        pending=sum(region.pending for region in regions),
        waits=tuple(region.wait for region in regions if region.wait),
    )


def _with_successor(delete: Delete, successors: Mapping[str, Write | None]) -> Delete:
    successor = successors.get(delete.live.name)
    return replace(delete, reason=ChangeReason.REPLACED, successor=successor) if successor else delete


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
        return _keep_quarantined(quarantine(row, error), live, keep_last=keep_last)
    if live is None and (blocked := _blocked(row, foreign_names)):
        return blocked, None
    return None, desired


def quarantine(row: RegionRow, error: ScheduleError) -> Quarantined:
    """Return a row whose schedule cannot be followed, with the reason in words."""
    return Quarantined(row.id, row.code, f'cron_schedule "{printable(row.cron_schedule)}" is invalid: {error}')


def _blocked(region: RegionRow, foreign_names: Collection[str]) -> Quarantined | None:
    """Quarantine a region if a foreign CronJob has the name that the region's CronJob needs."""
    name = cronjob_name(region) if foreign_names else ""
    if name not in foreign_names:
        return None
    reason = f'its CronJob cannot be made, another one that is not ours has the name "{name}": delete that one'
    return Quarantined(region.id, region.code, reason)


def _lacks_code(row: Row, owners: Owners) -> Quarantined:
    """Quarantine a region whose code other CronJobs have."""
    ids = ", ".join(printable(owner.region_id) for owner in owners[:MAX_NAMED_REGIONS])
    reason = (
        f"code is still that of id {ids}, which ticks for it: it gets the code when that region has another or is gone"
    )
    return Quarantined(row.id, printable(row.code), reason)


def _with_its_code(row: Row, live: LiveCronJob | None) -> Desired | None:
    """Return what the CronJob of a region that waits for its code stays as: the row, with the CronJob's code."""
    if live is None or not isinstance(row, RegionRow):
        return None
    kept = replace(row, code=live.told_code or live.code)
    return Desired(kept, parse_schedule(kept.cron_schedule, code=kept.code))


def _keep_quarantined(
    row: Quarantined, live: LiveCronJob | None, *, keep_last: bool
) -> tuple[Quarantined, Desired | None]:
    """Return the quarantined row, and what its CronJob stays as. None: the row has no CronJob.

    The row's reason gets longer if the CronJob's last good state is unknown.
    """
    if live is None:
        return row, None
    if good := last_good(row.id, live):
        return row, Desired(*good, suspended_by=None if keep_last else SuspendedBy.QUARANTINE)
    reason = f"{row.reason}; its CronJob was changed by somebody, and what it last was is not known: it stays suspended"
    return replace(row, reason=reason), Desired(
        *placeholder(row.id, row.code, live), suspended_by=SuspendedBy.QUARANTINE
    )


def _delete(live: LiveCronJob, render: Render) -> Delete:
    return Delete(live, replacement=write_last_good(live, render))


def _guard(write: Write, live: LiveCronJob | None, render: Render, *, is_bad: bool) -> Write:
    """Say what a guard counts a write as, and what is written while the write is held."""
    if live is None:
        return replace(write, guarded=Guarded.CREATION)
    if live.quarantined:
        return write  # the region does not tick, and that was counted, or was so before an upgrade
    if is_bad and write.desired.suspended_by is SuspendedBy.QUARANTINE:
        return replace(write, guarded=Guarded.QUARANTINE, replacement=write_last_good(live, render))
    good = None if is_bad else last_good(write.desired.region.id, live)
    if good and (kind := kind_of_reschedule(before := good[1], write.desired.schedule)):
        region = replace(write.desired.region, cron_schedule=before.written)
        return replace(write, guarded=kind, replacement=write_for(Desired(region, before), live, render))
    return write


def kind_of_reschedule(before: Schedule, after: Schedule) -> Guarded | None:
    """Return what a guard counts another schedule as. None: nothing, both have about as many ticks."""
    if before.source == after.source:
        return None
    intervals = before.mean_interval(), after.mean_interval()
    if intervals[1] > FACTOR * intervals[0]:
        return Guarded.SLOWDOWN
    return Guarded.SPEEDUP if intervals[0] > FACTOR * intervals[1] else None
