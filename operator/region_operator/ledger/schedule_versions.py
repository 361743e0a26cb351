"""Which schedules are in force: what the CronJobs say, and what of region_schedule has to change for it. Pure.

A region ticks as its CronJob says, not as its row does: so a schedule is in force while a CronJob has it, whoever
edited what and whether or not an apply failed. One that is suspended has it too: its ticks are expected, and will not
be. Since when is the time at which the CronJob was last changed (managedFields; the API server's clock, whole seconds),
so it does not matter when it is written down here, nor by which process. A CronJob that is gone tells no time: its
schedule ends when that is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from region_operator.cronjobs.labels import CONTAINER, ID_ANNOTATION
from region_operator.cronjobs.ownership import changed_at
from region_operator.cronjobs.render import from_literal
from region_tick.contract import Variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RegionKey: TypeAlias = tuple[str, str]
"""A region: source and id."""

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """What a schedule in force says of the ticks to come. Any change of it begins another."""

    cron: str
    code: str
    cronjob: str
    start_deadline_seconds: int
    suspended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleVersion:
    """A row of region_schedule: ticks after `valid_from` up to `valid_to` (None: still in force) are its own."""

    source: str
    region_id: str
    spec: ScheduleSpec
    valid_from: datetime
    valid_to: datetime | None = None

    @property
    def key(self) -> RegionKey:
        return self.source, self.region_id


@dataclass(frozen=True, slots=True)
class VersionChanges:
    """What to write: rows that end, with their `valid_to`, and new ones. Empty where the table says it already."""

    ended: tuple[ScheduleVersion, ...] = ()
    begun: tuple[ScheduleVersion, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ended or self.begun)


def read_versions(cronjobs: Iterable[Mapping[str, Any]]) -> dict[RegionKey, ScheduleVersion]:
    """Read CronJobs of ours: the schedules in force. Of two that a region has for a moment, the older one counts: the
    other is about to go.
    """
    found: dict[RegionKey, ScheduleVersion] = {}
    for body in sorted(cronjobs, key=lambda body: str(body["metadata"]["creationTimestamp"]), reverse=True):
        meta, spec, told = body["metadata"], body["spec"], _told_by(body)
        region_id, source = meta.get("annotations", {}).get(ID_ANNOTATION), told.get(Variable.SOURCE)
        if not region_id or not source or "deletionTimestamp" in meta:
            continue
        spec = ScheduleSpec(
            cron=spec["schedule"],
            code=told.get(Variable.REGION_CODE, ""),
            cronjob=meta["name"],
            start_deadline_seconds=spec.get("startingDeadlineSeconds") or 0,
            suspended=bool(spec.get("suspend")),
        )
        since = datetime.fromisoformat(changed_at(body))
        found[source, region_id] = ScheduleVersion(source=source, region_id=region_id, spec=spec, valid_from=since)
    return found


def diff_versions(
    current: Iterable[ScheduleVersion], found: Mapping[RegionKey, ScheduleVersion], *, now: datetime
) -> VersionChanges:
    """Compare the rows that are in force with what was found. `now` is the database's time.

    A CronJob that ticks for another table from now on ends what it did before when it begins the other.
    """
    ended: list[ScheduleVersion] = []
    begun: list[ScheduleVersion] = []
    before = {interval.key: interval for interval in current}
    moved = {there.spec.cronjob: there.valid_from for key, there in found.items() if key not in before}
    for key, row in before.items():
        there = found.get(key)
        if there is not None and there.spec == row.spec:
            continue
        since = there.valid_from if there else moved.get(row.spec.cronjob, now)
        end = max(since, row.valid_from + _INSTANT)
        ended.append(replace(row, valid_to=end))
        if there is not None:
            begun.append(replace(there, valid_from=end))
    begun += [there for key, there in found.items() if key not in before]
    return VersionChanges(tuple(ended), tuple(begun))


def _told_by(cronjob: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that a CronJob gives its ticks, by name."""
    containers = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    items = (item for container in containers if container["name"] == CONTAINER for item in container.get("env", []))
    return {item["name"]: from_literal(item.get("value", "")) for item in items}
