"""What a reconcile would do: one function over what should be and what is. Pure; nothing here can touch a cluster.

| region's row          | its CronJob | outcome                                                                    |
|-----------------------|-------------|----------------------------------------------------------------------------|
| active                | none        | create; blocked where a foreign CronJob has the name                       |
| active                | in sync     | unchanged                                                                  |
| active                | other       | update, under the name that the CronJob has                                |
| active                | paused      | suspend, for as long as the CronJob's annotation says so                   |
| quarantined           | none        | nothing                                                                    |
| quarantined           | any         | suspend, or run on (KeepLast), rendered in full from its last good state   |
| missing or not active | any         | delete; while that is held, as it last was, or suspended with all others   |
| any                   | going       | nothing now: looked at again when it is gone                               |

A CronJob is found by the hash of its region's id, which its name ends with: labels can be changed, a name cannot.
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
from region_operator.cronjobs.last_good import holder, last_good, not_known
from region_operator.cronjobs.ownership import has_digest, in_sync
from region_operator.plan.changes import ChangeReason, Delete, Desired, LiveCronJob, Plan, Render, Write
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import Quarantined, RegionRow, shown
from region_operator.regions.schedule import parse_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

    from region_operator.cronjobs.manifest import Manifest


def parse_schedules(rows: Sequence[RegionRow | Quarantined]) -> tuple[list[Desired], list[Quarantined]]:
    """Sort rows into those that can be scheduled and those that cannot."""
    desired: list[Desired] = []
    quarantined: list[Quarantined] = []
    for row in rows:
        if isinstance(row, Quarantined):
            quarantined.append(row)
            continue
        try:
            desired.append(Desired(row, parse_schedule(row.cron_schedule)))
        except ScheduleError as error:
            reason = f'cron_schedule "{shown(row.cron_schedule)}" is invalid: {error}'
            quarantined.append(Quarantined(row.id, row.code, reason))
    return desired, quarantined


def holders_by_code(current: Sequence[LiveCronJob]) -> dict[str, set[str]]:
    """Return the ids of the regions whose CronJobs tick for a code, for every code."""
    holders: dict[str, set[str]] = {}
    for live in current:
        if not live.terminating and (found := holder(live.body)):
            holders.setdefault(found[0], set()).add(found[1])
    return holders


def make_plan(
    desired: Sequence[Desired],
    quarantined: Sequence[Quarantined],
    current: Sequence[LiveCronJob],
    *,
    render: Render,
    keep_last: bool,
    foreign_names: Set[str] = frozenset(),
) -> Plan:
    """Compare every active row with its CronJob. `current` are all CronJobs that are ours, `foreign_names` the
    names of those that are not.
    """
    live_by_key: dict[str, LiveCronJob] = {}
    for one in sorted(current, key=_age):
        live_by_key.setdefault(one.key, one)
    keep = [_keep(row, live_by_key.get(region_key(row.id)), keep_last=keep_last) for row in quarantined]
    kept = [item for _, item in keep if item]
    blocked = [row for item in desired if (row := _blocked(item.region, live_by_key, foreign_names))]
    keys = {region_key(row.id) for row in blocked}
    planned = [item for item in (*desired, *kept) if region_key(item.region.id) not in keys]
    writes = [_write(item, live_by_key.get(region_key(item.region.id)), render) for item in planned]
    rows = {region_key(item.region.id) for item in desired} | {region_key(row.id) for row in quarantined}
    return Plan(
        writes=tuple(write for write in writes if write),
        deletes=tuple(_deletes(current, live_by_key, rows, render)),
        quarantined=(*(row for row, _ in keep), *blocked),
        unchanged=writes.count(None),
        paused=sum(live.paused for key, live in live_by_key.items() if key in rows),
        pending=sum(live.terminating for item in planned if (live := live_by_key.get(region_key(item.region.id)))),
    )


def _age(live: LiveCronJob) -> tuple[bool, str, str]:
    """Put the CronJob that stays before its duplicates: a copy is younger than what it was made from."""
    return live.terminating, live.body["metadata"].get("creationTimestamp", ""), live.name


def _blocked(region: RegionRow, live_by_key: Mapping[str, LiveCronJob], foreign_names: Set[str]) -> Quarantined | None:
    """Report a region whose CronJob cannot be made, because a foreign one has its name: that one is not touched."""
    name = cronjob_name(region)
    if name not in foreign_names or region_key(region.id) in live_by_key:
        return None
    reason = f'its CronJob cannot be made, another one that is not ours has the name "{name}": delete that one'
    return Quarantined(region.id, region.code, reason)


def _keep(row: Quarantined, live: LiveCronJob | None, *, keep_last: bool) -> tuple[Quarantined, Desired | None]:
    """Return what is to be said of a quarantined row, and as what its CronJob stays."""
    if live is None:
        return row, None
    if good := last_good(row.id, live.body):
        return row, Desired(*good, suspend=not keep_last)
    reason = f"{row.reason}; its CronJob was changed by somebody, and what it last was is not known: it stays suspended"
    return replace(row, reason=reason), Desired(*not_known(row.id, row.code, live.body), suspend=True)


def _deletes(
    current: Sequence[LiveCronJob], live_by_key: Mapping[str, LiveCronJob], rows: Set[str], render: Render
) -> Iterator[Delete]:
    for live in current:
        if live.terminating:
            continue
        if live.key not in rows:
            yield Delete(live, replacement=_replacement(live, render))
        elif live is not live_by_key[live.key]:
            yield Delete(live, ChangeReason.DUPLICATE)


def _replacement(live: LiveCronJob, render: Render) -> Write | None:
    """Return what keeps a CronJob true while its deletion is held. One that is not known any more is left alone, unless
    it is to be suspended.
    """
    annotations = live.body["metadata"].get("annotations", {})
    region_id = annotations.get(ID_ANNOTATION, "")
    if region_key(region_id) != live.key:
        return None
    good = last_good(region_id, live.body)
    desired = Desired(*(good or not_known(region_id, annotations.get(CODE_ANNOTATION, ""), live.body)))
    write = _write(desired, live, render)
    return write if write and (good or write.manifest["spec"]["suspend"]) else None


def _write(desired: Desired, live: LiveCronJob | None, render: Render) -> Write | None:
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
