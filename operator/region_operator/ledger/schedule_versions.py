"""Reads the current schedule versions from the CronJobs, and compares the versions with region_schedule. Pure.

A region ticks as the CronJob says, not as the region's row says. So the current schedule version of a region is what
its CronJob says, even if somebody else edited the CronJob or the last apply failed. A suspended CronJob has a schedule
version too: the region's ticks are expected, and will be skipped.

A schedule version begins at the CronJob's last change (managedFields; the API server's clock, whole seconds). So the
beginning does not depend on when the version is saved, or by which process. A deleted CronJob tells no time, so its
schedule version ends when the successor's begins: when a new region has the code, as in a table that is seeded anew.
Then each tick of the code is expected of one id, also the ticks in between, which are lost. Without a successor the
version ends when this operator deleted the CronJob; else when the deletion is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from region_operator.ledger.suspended_by import suspended_by

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from region_operator.cronjobs.live import LiveCronJob

RegionKey: TypeAlias = tuple[str, str]
"""A region: the source and the region's id."""

NOTHING_DELETED: Mapping[str, datetime] = MappingProxyType({})

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

    def read(self, cronjobs: Collection[LiveCronJob]) -> dict[RegionKey, ScheduleVersion]:
        """Return the schedule versions of all CronJobs of ours.

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
            version = known[1] if known is not None and same else _version_of(live)
            self._read[live.name] = live, version
            if version is None:
                continue
            other = versions.get(version.key)
            if other is None or live.created_at < self._read[other.spec.cronjob][0].created_at:
                versions[version.key] = version
        self._versions = versions
        return versions


def _version_of(live: LiveCronJob) -> ScheduleVersion | None:
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
        suspended_by=suspended_by(live) if live.suspended else None,
    )


def diff_versions(
    current: Iterable[ScheduleVersion],
    found: Mapping[RegionKey, ScheduleVersion],
    *,
    now: datetime,
    deleted_at: Mapping[str, datetime] = NOTHING_DELETED,
) -> VersionChanges:
    """Compare the current rows of region_schedule with the schedule versions found in the CronJobs.

    If a CronJob now ticks for another source, or if a new region has the code, the old version ends when the new
    version begins. Another version without a CronJob ends when the CronJob was deleted: `deleted_at` has some of these
    times by the CronJob's name. `now`, the database's time, stands for an unknown time.

    A suspended region that something else suspends since an edit of its CronJob begins another version, so that each
    suspension in the ledger has what suspended the region.
    """
    ended: list[ScheduleVersion] = []
    begun: list[ScheduleVersion] = []
    before = {row.key: row for row in current}
    new = [version for key, version in found.items() if key not in before]
    moved_at = {version.spec.cronjob: version.valid_from for version in new}
    succeeded_at = {(version.source, version.spec.code): version.valid_from for version in new if version.spec.code}
    for key, row in before.items():
        version, cronjob = found.get(key), row.spec.cronjob
        if version is not None and version.spec == row.spec and not _suspended_anew(row, version):
            continue
        gone_at = succeeded_at.get((row.source, row.spec.code), deleted_at.get(cronjob, now))
        since = version.valid_from if version else moved_at.get(cronjob, gone_at)
        end = max(since, row.valid_from + _INSTANT)
        ended.append(replace(row, valid_to=end))
        if version is not None:
            begun.append(replace(version, valid_from=end))
    return VersionChanges(tuple(ended), (*begun, *new))


def _suspended_anew(row: ScheduleVersion, version: ScheduleVersion) -> bool:
    """Return whether a later edit of a suspended CronJob tells another cause, e.g. a pause while all are suspended.

    Without an edit there is no moment at which the cause changed: to suspend all changes no CronJob that a person
    suspended.
    """
    known = version.suspended_by is not None and version.suspended_by != row.suspended_by
    return version.spec.suspended and known and version.valid_from > row.valid_from
