"""Reads the current schedule versions from the CronJobs, and compares the versions with region_schedule. Pure.

A region ticks as the CronJob says, not as the region's row says. So the current schedule version of a region is what
its CronJob says, even if somebody else edited the CronJob or the last apply failed. A suspended CronJob has a schedule
version too: the region's ticks are expected, and will be skipped.

A schedule version begins at the CronJob's last change (managedFields; the API server's clock, whole seconds). So the
beginning does not depend on when the version is saved, or by which process. A deleted CronJob tells no time, so the
schedule version ends when the deletion is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from region_operator.cronjobs.labels import CONTAINER, ID_ANNOTATION
from region_operator.cronjobs.ownership import last_changed_at
from region_operator.cronjobs.pod_spec import unescape_dollars
from region_tick.contract import Variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RegionKey: TypeAlias = tuple[str, str]
"""A region: the source and the region's id."""

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """What a schedule version says about the region's ticks. Any change of the spec begins a new schedule version."""

    cron: str
    code: str
    cronjob: str
    start_deadline_seconds: int
    suspended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleVersion:
    """A row of region_schedule: which schedule a region had after `valid_from` and up to `valid_to` (None: current).

    `suspended_by` tells people what suspended the CronJob. None: not suspended, or not known.
    """

    source: str
    region_id: str
    spec: ScheduleSpec
    valid_from: datetime
    valid_to: datetime | None = None
    suspended_by: str | None = None

    @property
    def key(self) -> RegionKey:
        return self.source, self.region_id


@dataclass(frozen=True, slots=True)
class VersionChanges:
    """What to write to region_schedule: `ended` versions with a `valid_to`, and `begun` versions. False if nothing."""

    ended: tuple[ScheduleVersion, ...] = ()
    begun: tuple[ScheduleVersion, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ended or self.begun)


def read_versions(cronjobs: Iterable[Mapping[str, Any]]) -> dict[RegionKey, ScheduleVersion]:
    """Read the current schedule versions from CronJobs of ours, as the API server returned the CronJobs.

    If a region has two CronJobs for a moment, the older CronJob counts, because the other CronJob is about to go.
    Terminating CronJobs count no more.
    """
    versions: dict[RegionKey, ScheduleVersion] = {}
    for body in sorted(cronjobs, key=lambda body: str(body["metadata"]["creationTimestamp"]), reverse=True):
        meta, cronjob_spec, variables = body["metadata"], body["spec"], _tick_variables(body)
        region_id, source = meta.get("annotations", {}).get(ID_ANNOTATION), variables.get(Variable.SOURCE)
        if not region_id or not source or "deletionTimestamp" in meta:
            continue
        spec = ScheduleSpec(
            cron=cronjob_spec["schedule"],
            code=variables.get(Variable.REGION_CODE, ""),
            cronjob=meta["name"],
            start_deadline_seconds=cronjob_spec.get("startingDeadlineSeconds") or 0,
            suspended=bool(cronjob_spec.get("suspend")),
        )
        since = datetime.fromisoformat(last_changed_at(body))
        versions[source, region_id] = ScheduleVersion(source=source, region_id=region_id, spec=spec, valid_from=since)
    return versions


def diff_versions(
    current: Iterable[ScheduleVersion], found: Mapping[RegionKey, ScheduleVersion], *, now: datetime
) -> VersionChanges:
    """Compare the current rows of region_schedule with the schedule versions found in the CronJobs.

    `now` is the database's time, and the end of a version without a CronJob. If a CronJob now ticks for another source,
    the old version ends when the new version begins.
    """
    ended: list[ScheduleVersion] = []
    begun: list[ScheduleVersion] = []
    before = {row.key: row for row in current}
    moved_at = {version.spec.cronjob: version.valid_from for key, version in found.items() if key not in before}
    for key, row in before.items():
        version = found.get(key)
        if version is not None and version.spec == row.spec:
            continue
        since = version.valid_from if version else moved_at.get(row.spec.cronjob, now)
        end = max(since, row.valid_from + _INSTANT)
        ended.append(replace(row, valid_to=end))
        if version is not None:
            begun.append(replace(version, valid_from=end))
    begun += [version for key, version in found.items() if key not in before]
    return VersionChanges(tuple(ended), tuple(begun))


def _tick_variables(cronjob: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables that a CronJob gives a tick, by name."""
    containers = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    items = (item for container in containers if container["name"] == CONTAINER for item in container.get("env", []))
    return {item["name"]: unescape_dollars(item.get("value", "")) for item in items}
