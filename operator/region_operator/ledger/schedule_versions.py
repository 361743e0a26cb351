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
from typing import TYPE_CHECKING, TypeAlias

from region_operator.ledger.suspended_by import suspended_by

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from region_operator.cronjobs.live import LiveCronJob

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


class VersionReader:
    """Reads the current schedule versions from CronJobs, anew only from the CronJobs that changed since."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[LiveCronJob, ScheduleVersion | None]] = {}
        self._versions: dict[RegionKey, ScheduleVersion] = {}

    def read(
        self, cronjobs: Collection[LiveCronJob], *, all_suspended: bool = False
    ) -> dict[RegionKey, ScheduleVersion]:
        """Return the schedule versions of all CronJobs of ours. `all_suspended` is `spec.suspend`.

        If a region has two CronJobs for a moment, the older CronJob counts, because the other CronJob is about to go.
        Terminating CronJobs count no more.
        """
        if len(cronjobs) == len(self._read) and all(
            live is known for live, (known, _) in zip(cronjobs, self._read.values(), strict=True)
        ):
            return self._versions
        before, self._read = self._read, {}
        versions: dict[RegionKey, ScheduleVersion] = {}
        for live in cronjobs:
            known = before.get(live.name)
            same = known is not None and (known[0] is live or known[0] == live)  # to compare every field takes longest
            version = known[1] if known is not None and same else _version_of(live, all_suspended)
            self._read[live.name] = live, version
            if version is None:
                continue
            other = versions.get(version.key)
            if other is None or live.created_at < self._read[other.spec.cronjob][0].created_at:
                versions[version.key] = version
        self._versions = versions
        return versions


def _version_of(live: LiveCronJob, all_suspended: bool) -> ScheduleVersion | None:
    """Return the schedule version of a CronJob, None if no region ticks by the CronJob."""
    if not live.ours or not live.region_id or not live.told_source or live.terminating:
        return None
    spec = ScheduleSpec(
        cron=live.schedule,
        code=live.told_code,
        cronjob=live.name,
        start_deadline_seconds=live.start_deadline_seconds,
        suspended=live.suspended,
    )
    since = datetime.fromisoformat(live.changed_at)
    return ScheduleVersion(
        source=live.told_source,
        region_id=live.region_id,
        spec=spec,
        valid_from=since,
        suspended_by=suspended_by(live, all_suspended=all_suspended) if live.suspended else None,
    )


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
