"""What a reconcile would do: one function over what should be and what is. Pure; nothing here can touch a cluster.

| region's row          | its CronJob | outcome                                                                    |
|-----------------------|-------------|----------------------------------------------------------------------------|
| active                | none        | create                                                                     |
| active                | in sync     | unchanged                                                                  |
| active                | other       | update, under the name that the CronJob has                                |
| quarantined           | none        | nothing                                                                    |
| quarantined           | any         | suspend, or run on (KeepLast), rendered in full from its last good state  |
| missing or not active | any         | delete                                                                     |
| any                   | going       | nothing now: looked at again when it is gone                               |

A CronJob is found by the label with the hash of its region's id, never by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from region_operator.cronjob import REGION_LABEL, Manifest, cronjob_name, region_key
from region_operator.last_good import last_good
from region_operator.ownership import in_sync
from region_operator.region import Quarantined, Region, shown
from region_operator.schedule import Schedule, ScheduleError, parse_schedule


class Reason(StrEnum):
    """Why a CronJob is written or deleted; the words of the log."""

    ADDED = "added"
    RESCHEDULED = "rescheduled"
    SUSPENDED = "suspended"
    UPDATED = "updated"
    REMOVED = "removed"


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

    @classmethod
    def from_object(cls, body: dict[str, Any]) -> Live:
        """Read an item of a CronJobList that was selected by our labels."""
        meta, spec = body["metadata"], body["spec"]
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            key=meta["labels"].get(REGION_LABEL, ""),
            schedule=spec["schedule"],
            suspended=spec.get("suspend", False),
            going="deletionTimestamp" in meta,
            body=body,
        )


@dataclass(frozen=True, slots=True)
class Write:
    """A CronJob to apply; `live` is what stands there now, None where nothing does."""

    reason: Reason
    desired: Desired
    manifest: Manifest
    live: Live | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A CronJob to delete, exactly as it was seen."""

    live: Live
    reason: Reason = Reason.REMOVED


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done; empty where the cluster is as the table says."""

    writes: tuple[Write, ...] = ()
    deletes: tuple[Delete, ...] = ()
    unchanged: int = 0

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


def make_plan(
    desired: Sequence[Desired],
    quarantined: Sequence[Quarantined],
    current: Sequence[Live],
    *,
    render: Render,
    keep_last: bool,
) -> Plan:
    """Compare every active row with its CronJob. `current` are all CronJobs under our selector, whatever made them."""
    live_by_key = {live.key: live for live in current}
    kept = [
        Desired(*good, suspend=not keep_last)
        for row in quarantined
        if (live := live_by_key.get(region_key(row.id))) and (good := last_good(row, live.body))
    ]
    writes = [_write(item, live_by_key.get(region_key(item.region.id)), render) for item in (*desired, *kept)]
    rows = {region_key(item.region.id) for item in desired} | {region_key(row.id) for row in quarantined}
    return Plan(
        writes=tuple(write for write in writes if write),
        deletes=tuple(Delete(live) for live in current if live.key not in rows and not live.going),
        unchanged=writes.count(None),
    )


def _write(desired: Desired, live: Live | None, render: Render) -> Write | None:
    if live is None:
        return Write(Reason.ADDED, desired, render(desired, cronjob_name(desired.region)))
    manifest = render(desired, live.name)
    if live.going or in_sync(manifest, live.body):
        return None
    return Write(_reason(desired, live), desired, manifest, live)


def _reason(desired: Desired, live: Live) -> Reason:
    if desired.suspend and not live.suspended:
        return Reason.SUSPENDED
    return Reason.UPDATED if live.schedule == desired.schedule.source else Reason.RESCHEDULED
