"""Knows the namespace's CronJobs as the API server last told of them, and tells news from echoes. Pure.

Listings, watch events and the answers to our own writes all come here, in any order and perhaps twice. What is older
than what is known is past, and ignored; the versions of one resource can be compared (apimachinery,
pkg/util/resourceversion; KEP-5504). A listing tells of everything up to its version, also of what is gone.

News is what no reconcile has seen or done: a change that a reconcile judges differently, and a deletion by somebody
else. A tick changes only the status of its CronJob, and each of our own writes comes back as an event. Both are echoes.
An event about a CronJob that is just being written is judged when the answer to the write is there. A CronJob that we
deleted exists for a moment longer, until its dependents are orphaned, and counts as terminating.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.wire import decode_version

if TYPE_CHECKING:
    from collections.abc import Collection


class News(Enum):
    """What an event tells that was not known."""

    NOTHING = auto()
    CHANGED = auto()
    DELETED = auto()
    """Somebody else deleted a CronJob, or put another CronJob in its place."""


class CronJobCache:
    """The CronJobs by name. A CronJob whose name has another form than ours is never news."""

    def __init__(self) -> None:
        self._by_name: dict[str, LiveCronJob] = {}
        self._listed_at = 0
        """The version of the last listing. What is older and unknown has been gone since before the listing."""
        self._being_written: set[str] = set()
        """The names of the CronJobs whose write has no answer yet: a new CronJob has no uid yet."""
        self._deleted_by_us: set[str] = set()
        """The uids of the CronJobs that we deleted and that are not gone yet."""
        self._gone: set[str] = set()
        """The uids of the CronJobs that went after the last listing."""

    @property
    def cronjobs(self) -> list[LiveCronJob]:
        """All CronJobs of the namespace, ours and others."""
        return list(self._by_name.values())

    def get(self, name: str) -> LiveCronJob | None:
        """Return the CronJob of a name."""
        return self._by_name.get(name)

    def read(self, body: bytes) -> LiveCronJob:
        """Read an object of the API server. Return the known value if the cache has this very version.

        Each of our writes is told twice, by the answer and by an event, and a listing tells what is known already. To
        read only the version costs a twentieth. Raises msgspec.ValidationError if the object is no CronJob.
        """
        version = decode_version(body).metadata
        known = self._by_name.get(version.name)
        if known and (known.uid, known.resource_version) == (version.uid, version.resource_version):
            return known
        return LiveCronJob.decode(body)

    def last_success(self, name: str) -> str:
        """Return when a tick of a CronJob last succeeded, "" if unknown."""
        live = self._by_name.get(name)
        return live.last_success if live else ""

    def longest_pause(self, now: datetime) -> timedelta:
        """Return for how long the region has been paused that has been paused the longest, 0 without one.

        A text that is no time, or one before the CronJob, does not count: anybody may write it. Any thread may ask.
        """
        begins = [begin for live in self.cronjobs if live.ours and (begin := _begin_of_pause(live))]
        return max((now - begin for begin in begins if begin < now), default=timedelta())

    def fold(self, live: LiveCronJob) -> News:
        """Take in a CronJob as an event shows it."""
        return News.NOTHING if self._is_past(live) else self._put(live)

    def remove(self, name: str, uid: str) -> News:
        """Take in that a CronJob is gone."""
        self._gone.add(uid)
        by_us = self._forget_deletion(uid)
        known = self._by_name.get(name)
        if known is None or known.uid != uid:
            return News.NOTHING
        del self._by_name[name]
        return News.NOTHING if by_us or not known.key else News.DELETED

    def replace_all(self, lives: Collection[LiveCronJob], version: str) -> list[tuple[str, News]]:
        """Take in a listing of all CronJobs, as of the resourceVersion `version`. Return the names with news.

        A listing that ends after a newer one is past. What happened after `version` stays as events told.
        """
        if int(version) < self._listed_at:
            return []
        listed = {live.name for live in lives}
        gone = [live for name, live in self._by_name.items() if name not in listed and not _is_newer(live, version)]
        found = [(live.name, self.remove(live.name, live.uid)) for live in gone]
        for live in lives:
            known = self._by_name.get(live.name)
            if live.uid in self._gone or (known and _is_older(live, known)):
                continue
            if not (live.terminating or (known and known.terminating)):
                self._deleted_by_us.discard(live.uid)  # whatever became of our request, the CronJob stayed
            found.append((live.name, self._put(live)))
        self._listed_at = int(version)
        if not self._being_written:
            self._gone.clear()
        return [(name, news) for name, news in found if news is not News.NOTHING]

    def begin_write(self, name: str) -> None:
        """Expect events about a CronJob, because a write of the CronJob begins."""
        self._being_written.add(name)

    def end_write(self, name: str, written: LiveCronJob | None) -> News:
        """Take in the answer to a write, None without an answer. News: somebody changed the CronJob after the write."""
        self._being_written.discard(name)
        if written is None:
            return News.NOTHING
        if not self._is_past(written):
            self._by_name[name] = written
            return News.NOTHING
        known = self._by_name.get(name)
        return News.CHANGED if known and known.uid == written.uid and known != written else News.NOTHING

    def begin_deletion(self, uid: str) -> None:
        """Expect that a CronJob goes, because we are about to delete it."""
        self._deleted_by_us.add(uid)

    def end_deletion(self, name: str, uid: str, *, done: bool) -> None:
        """Take in the answer to a deletion: the CronJob is going, or the API server refused."""
        if not done:
            self._deleted_by_us.discard(uid)
            return
        known = self._by_name.get(name)
        if known is not None and known.uid == uid:
            self._by_name[name] = replace(known, terminating=True)

    def _put(self, live: LiveCronJob) -> News:
        """Put a CronJob in the place of an older one, and return what that tells."""
        known = self._by_name.get(live.name)
        same = known is not None and known.uid == live.uid
        if known and same and known.resource_version == live.resource_version:
            return News.NOTHING  # the known value stays: who compares by identity sees no change
        if known and same and known.terminating and not live.terminating:
            live = replace(live, terminating=True)  # nothing ends a deletion but the end of the object
        self._by_name[live.name] = live
        if not live.key or live == known or live.name in self._being_written or live.uid in self._deleted_by_us:
            return News.NOTHING
        if known is not None and not same:
            return News.CHANGED if self._forget_deletion(known.uid) else News.DELETED
        return News.NOTHING if known is None and live.terminating else News.CHANGED

    def _is_past(self, live: LiveCronJob) -> bool:
        """Whether something newer is known: of the name, or by the last listing."""
        known = self._by_name.get(live.name)
        if live.uid in self._gone:
            return True
        return int(live.resource_version) <= self._listed_at if known is None else _is_older(live, known)

    def _forget_deletion(self, uid: str) -> bool:
        """Forget that we deleted a CronJob. Return whether we did."""
        by_us = uid in self._deleted_by_us
        self._deleted_by_us.discard(uid)
        return by_us


def _begin_of_pause(live: LiveCronJob) -> datetime | None:
    begin = _read_time(live.paused_since)
    created = begin and _read_time(live.created_at)
    return None if begin and created and begin < created else begin


def _read_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_older(live: LiveCronJob, known: LiveCronJob) -> bool:
    return int(live.resource_version) < int(known.resource_version)


def _is_newer(live: LiveCronJob, version: str) -> bool:
    return int(live.resource_version) > int(version)
