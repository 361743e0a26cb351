"""Knows the namespace's CronJobs as the API server last told of them, and tells news from echoes. Pure.

Listings, watch events and the answers to our own writes all come here, in any order. A newer resourceVersion replaces
an older one; the versions of one resource can be compared (apimachinery, pkg/util/resourceversion; KEP-5504).

News is what no reconcile has seen or done: a change that a reconcile judges differently, and a deletion by somebody
else. A tick changes only the status of its CronJob, and each of our own writes comes back as an event. Both are echoes.
An event about a CronJob that is just being written is judged when the answer to the write is there. A CronJob that we
deleted exists for a moment longer, until its dependents are orphaned, and counts as terminating.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from region_operator.cronjobs.live import LiveCronJob


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
        self._deleted_by_us: set[str] = set()
        """The uids of the CronJobs that we deleted and that are not gone yet."""
        self._being_written: set[str] = set()
        self._gone: set[str] = set()
        """The uids of the CronJobs that went since the last `replace_all`: a listing may be older than a deletion."""

    @property
    def cronjobs(self) -> list[LiveCronJob]:
        """All CronJobs of the namespace, ours and others."""
        return list(self._by_name.values())

    def get(self, name: str) -> LiveCronJob | None:
        """Return the CronJob of a name."""
        return self._by_name.get(name)

    def last_success(self, name: str) -> str:
        """Return when a tick of a CronJob last succeeded, "" if unknown."""
        live = self._by_name.get(name)
        return live.last_success if live else ""

    def fold(self, live: LiveCronJob) -> News:
        """Take in a CronJob as an event or a listing shows it."""
        known = self._by_name.get(live.name)
        if live.uid in self._gone or (known and known.uid == live.uid and _is_older(live, known)):
            return News.NOTHING
        if known and known.uid == live.uid and known.terminating and not live.terminating:
            live = replace(live, terminating=True)  # nothing ends a deletion but the end of the object
        self._by_name[live.name] = live
        if not live.key or live == known or live.name in self._being_written or live.uid in self._deleted_by_us:
            return News.NOTHING
        if known is not None and known.uid != live.uid:
            return News.CHANGED if self._forget_deletion(known.uid) else News.DELETED
        return News.NOTHING if known is None and live.terminating else News.CHANGED

    def remove(self, name: str, uid: str) -> News:
        """Take in that a CronJob is gone."""
        self._gone.add(uid)
        by_us = self._forget_deletion(uid)
        known = self._by_name.get(name)
        if known is None or known.uid != uid:
            return News.NOTHING
        del self._by_name[name]
        return News.NOTHING if by_us or not known.key else News.DELETED

    def replace_all(self, lives: Iterable[LiveCronJob], version: str) -> list[tuple[str, News]]:
        """Take in a listing of all CronJobs, as of the resourceVersion `version`. Return the names with news."""
        lives = list(lives)
        listed = {live.name for live in lives}
        gone = [live for name, live in self._by_name.items() if name not in listed and not _is_newer(live, version)]
        found = [(live.name, self.remove(live.name, live.uid)) for live in gone]
        found += [(live.name, self.fold(live)) for live in lives]
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
        known = self._by_name.get(name)
        if known is None or known.uid != written.uid or not _is_newer(known, written.resource_version):
            if written.uid not in self._gone:
                self._by_name[name] = written
            return News.NOTHING
        return News.NOTHING if known == written else News.CHANGED

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

    def _forget_deletion(self, uid: str) -> bool:
        """Forget that we deleted a CronJob. Return whether we did."""
        by_us = uid in self._deleted_by_us
        self._deleted_by_us.discard(uid)
        return by_us


def _is_older(live: LiveCronJob, known: LiveCronJob) -> bool:
    return int(live.resource_version) < int(known.resource_version)


def _is_newer(live: LiveCronJob, version: str) -> bool:
    return int(live.resource_version) > int(version)
