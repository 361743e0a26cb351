"""Counts the ticks of suspended regions, a suspension at a time. Pure: no clock, no I/O.

A suspension is the time for which a suspended schedule version was valid. While a CronJob is suspended, no Job comes.
So the ticks are not looked at one by one: one row of region_tick.suspension says from when to when and how many. Only
the last ticks before a region is resumed may have a Job, so each of these ticks gets a row of its own, like any other.

The row is written at the first tick. The row then stands for all later ticks until the suspension ends. The number of
ticks is carried on seldom: a row that is hours old need not be written every minute. See docs/decisions/
0020-a-suspension-is-one-row.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from region_operator.ledger.expected_ticks import INSTANT, next_specs, start_deadline, tick_times

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion

VersionKey: TypeAlias = tuple[str, datetime]
"""A schedule version of one source: the region's id and `valid_from`."""

CARRY_ON_EVERY = timedelta(hours=1)
"""The longest time for which a row's number of ticks stays behind."""

CARRY_ON_PART = 8
"""A younger row is carried on when the uncounted time is an eighth of the counted time. So the number is never far off,
and a suspension of an hour is written some twenty times, not sixty.
"""


@dataclass(frozen=True, slots=True)
class Suspension:
    """A row of region_tick.suspension: up to when its ticks are counted, and whether the suspension has ended."""

    counted_until: datetime
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendedTicks:
    """The ticks of a suspended schedule version that are to be counted, after `since` and up to `until` (UTC).

    `times` are all ticks of that time. `new` says that the suspension has no row yet, `ended` that the row gets no more
    ticks.
    """

    version: ScheduleVersion
    since: datetime
    until: datetime
    times: Sequence[datetime]
    new: bool
    ended: bool


def looked_at_from(
    versions: Collection[ScheduleVersion],
    suspensions: Mapping[VersionKey, Suspension],
    *,
    after: datetime,
    judged_until: datetime,
) -> dict[VersionKey, datetime]:
    """Return after when the ticks of each suspended version are looked at one by one. Earlier ticks are counted.

    The arguments are those of `ticks_to_count`.
    """
    specs = next_specs(versions)
    found: dict[VersionKey, datetime] = {}
    for version in versions:
        if version.spec.suspended:
            row = suspensions.get(key := (version.region_id, version.valid_from))
            until = _counted_until(version, specs.get(key), after=after, judged_until=judged_until)
            found[key] = max(until, row.counted_until) if row else until
    return found


def ticks_to_count(
    versions: Collection[ScheduleVersion],
    suspensions: Mapping[VersionKey, Suspension],
    *,
    after: datetime,
    judged_until: datetime,
) -> list[SuspendedTicks]:
    """Return what is to be written to region_tick.suspension, given one source's schedule versions and rows.

    All ticks up to `after` are accounted for. Ticks with a latest start before `judged_until` may be judged.
    """
    due = [*_due(versions, suspensions, after=after, judged_until=judged_until)]
    spans: defaultdict[str, list[datetime]] = defaultdict(list)
    for ticks in due:
        spans[ticks.version.spec.cron] += (ticks.since, ticks.until)
    times = {cron: tick_times(cron, min(moments), max(moments)) for cron, moments in spans.items()}
    counted = [replace(ticks, times=_between(times[ticks.version.spec.cron], ticks)) for ticks in due]
    return [ticks for ticks in counted if ticks.times or not ticks.new]


def _due(
    versions: Collection[ScheduleVersion],
    suspensions: Mapping[VersionKey, Suspension],
    *,
    after: datetime,
    judged_until: datetime,
) -> Iterator[SuspendedTicks]:
    """Yield the suspensions whose row is to be written now, without their ticks."""
    specs = next_specs(versions)
    for version in versions:
        key = version.region_id, version.valid_from
        row = suspensions.get(key)
        if not version.spec.suspended or (row and row.ended):
            continue
        since = row.counted_until if row else max(version.valid_from, after)
        until = max(since, _counted_until(version, specs.get(key), after=after, judged_until=judged_until))
        ended = version.valid_to is not None and version.valid_to <= judged_until
        if row is None or ended or until - since >= _patience(since - version.valid_from):
            yield SuspendedTicks(version=version, since=since, until=until, times=(), new=row is None, ended=ended)


def _between(times: Sequence[datetime], ticks: SuspendedTicks) -> Sequence[datetime]:
    """Return the times of `ticks`, out of all times of its schedule."""
    return times[bisect_right(times, ticks.since) : bisect_right(times, ticks.until)]


def _patience(counted: timedelta) -> timedelta:
    return min(CARRY_ON_EVERY, counted / CARRY_ON_PART)


def _counted_until(
    version: ScheduleVersion, next_spec: ScheduleSpec | None, *, after: datetime, judged_until: datetime
) -> datetime:
    """Return up to when the ticks of a suspended version belong to the suspension, and not each to a row of its own.

    A tick with a latest start before the version's end got no Job. Ticks up to `after` are looked at no more.
    """
    end = version.valid_to or judged_until
    without_job = min(end, judged_until) - start_deadline(version.spec, next_spec) - INSTANT
    return max(without_job, min(end, after))
