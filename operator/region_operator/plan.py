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

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from region_operator.cronjob import (
    CODE_ANNOTATION,
    ID_ANNOTATION,
    PAUSED_ANNOTATION,
    Manifest,
    cronjob_name,
    key_in_name,
    region_key,
)
from region_operator.last_good import holder, last_good, not_known
from region_operator.ownership import has_digest, in_sync
from region_operator.region import Quarantined, Region, shown
from region_operator.schedule import Schedule, ScheduleError, parse_schedule


class ChangeReason(StrEnum):
    """Why a CronJob is written or deleted; the words of the log."""

    ADDED = "added"
    RESCHEDULED = "rescheduled"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    RESUMED = "resumed"
    UPDATED = "updated"
    RESTORED = "restored"
    """Somebody else had changed it."""
    REMOVED = "removed"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Desired:
    """A region that is to tick, and when."""

    region: Region
    schedule: Schedule
    suspend: bool = False


@dataclass(frozen=True, slots=True)
class Live:
    """A CronJob as listed; `body` is the API server's object."""

    name: str
    uid: str
    resource_version: str
    key: str
    schedule: str
    suspended: bool
    going: bool
    body: Manifest
    paused: bool = False

    @classmethod
    def from_object(cls, body: dict[str, Any]) -> Live:
        """Read an item of a CronJobList."""
        meta, spec = body["metadata"], body["spec"]
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            key=key_in_name(meta["name"]) or "",
            schedule=spec["schedule"],
            suspended=spec.get("suspend", False),
            going="deletionTimestamp" in meta,
            body=body,
            paused=meta.get("annotations", {}).get(PAUSED_ANNOTATION) == "true",
        )


@dataclass(frozen=True, slots=True)
class Write:
    """A CronJob to apply; `live` is what stands there now, None where nothing does."""

    reason: ChangeReason
    desired: Desired
    manifest: Manifest
    live: Live | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A CronJob to delete, exactly as it was seen; `instead` is what keeps it true while its deletion is held."""

    live: Live
    reason: ChangeReason = ChangeReason.REMOVED
    instead: Write | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done; empty where the cluster is as the table says. `quarantined` are all rows that are not
    scheduled, for whatever reason.
    """

    writes: tuple[Write, ...] = ()
    deletes: tuple[Delete, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    unchanged: int = 0
    paused: int = 0
    awaited: int = 0
    """How many regions get their CronJob only when one that is going is gone."""

    def __len__(self) -> int:
        return len(self.writes) + len(self.deletes)


Render = Callable[[Desired, str], Manifest]
"""Gives the manifest, with its digest, of a region's CronJob under a name."""


def parse_schedules(rows: Sequence[Region | Quarantined]) -> tuple[list[Desired], list[Quarantined]]:
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


def holders_by_code(current: Sequence[Live]) -> dict[str, set[str]]:
    """Return the ids of the regions whose CronJobs tick for a code, for every code."""
    holders: dict[str, set[str]] = {}
    for live in current:
        if not live.going and (found := holder(live.body)):
            holders.setdefault(found[0], set()).add(found[1])
    return holders


def make_plan(
    desired: Sequence[Desired],
    quarantined: Sequence[Quarantined],
    current: Sequence[Live],
    *,
    render: Render,
    keep_last: bool,
    taken: Set[str] = frozenset(),
) -> Plan:
    """Compare every active row with its CronJob. `current` are all CronJobs that are ours, `taken` the names of those
    that are not.
    """
    live_by_key: dict[str, Live] = {}
    for one in sorted(current, key=_age):
        live_by_key.setdefault(one.key, one)
    stay = [_stay(row, live_by_key.get(region_key(row.id)), keep_last=keep_last) for row in quarantined]
    kept = [item for _, item in stay if item]
    blocked = [row for item in desired if (row := _blocked(item.region, live_by_key, taken))]
    keys = {region_key(row.id) for row in blocked}
    planned = [item for item in (*desired, *kept) if region_key(item.region.id) not in keys]
    writes = [_write(item, live_by_key.get(region_key(item.region.id)), render) for item in planned]
    rows = {region_key(item.region.id) for item in desired} | {region_key(row.id) for row in quarantined}
    return Plan(
        writes=tuple(write for write in writes if write),
        deletes=tuple(_deletes(current, live_by_key, rows, render)),
        quarantined=(*(row for row, _ in stay), *blocked),
        unchanged=writes.count(None),
        paused=sum(live.paused for key, live in live_by_key.items() if key in rows),
        awaited=sum(live.going for item in planned if (live := live_by_key.get(region_key(item.region.id)))),
    )


def _age(live: Live) -> tuple[bool, str, str]:
    """Put the CronJob that stays before its duplicates: a copy is younger than what it was made from."""
    return live.going, live.body["metadata"].get("creationTimestamp", ""), live.name


def _blocked(region: Region, live_by_key: Mapping[str, Live], taken: Set[str]) -> Quarantined | None:
    """Report a region whose CronJob cannot be made, because a foreign one has its name: that one is not touched."""
    name = cronjob_name(region)
    if name not in taken or region_key(region.id) in live_by_key:
        return None
    reason = f'its CronJob cannot be made, another one that is not ours has the name "{name}": delete that one'
    return Quarantined(region.id, region.code, reason)


def _stay(row: Quarantined, live: Live | None, *, keep_last: bool) -> tuple[Quarantined, Desired | None]:
    """Return what is to be said of a quarantined row, and as what its CronJob stays."""
    if live is None:
        return row, None
    if good := last_good(row.id, live.body):
        return row, Desired(*good, suspend=not keep_last)
    reason = f"{row.reason}; its CronJob was changed by somebody, and what it last was is not known: it stays suspended"
    return replace(row, reason=reason), Desired(*not_known(row.id, row.code, live.body), suspend=True)


def _deletes(
    current: Sequence[Live], live_by_key: Mapping[str, Live], rows: Set[str], render: Render
) -> Iterator[Delete]:
    for live in current:
        if live.going:
            continue
        if live.key not in rows:
            yield Delete(live, instead=_instead(live, render))
        elif live is not live_by_key[live.key]:
            yield Delete(live, ChangeReason.DUPLICATE)


def _instead(live: Live, render: Render) -> Write | None:
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


def _write(desired: Desired, live: Live | None, render: Render) -> Write | None:
    if live is None:
        return Write(ChangeReason.ADDED, desired, render(desired, cronjob_name(desired.region)))
    if live.paused:
        desired = replace(desired, suspend=True)
    manifest = render(desired, live.name)
    if live.going or in_sync(manifest, live.body):
        return None
    return Write(_reason(desired, manifest, live), desired, manifest, live)


def _reason(desired: Desired, manifest: Manifest, live: Live) -> ChangeReason:
    if has_digest(manifest, live.body):
        return ChangeReason.RESTORED
    suspend = manifest["spec"]["suspend"]
    if suspend and not live.suspended:
        return ChangeReason.PAUSED if live.paused else ChangeReason.SUSPENDED
    if live.suspended and not suspend:
        return ChangeReason.RESUMED
    return ChangeReason.UPDATED if live.schedule == desired.schedule.source else ChangeReason.RESCHEDULED
