"""Carries out a plan: writes and deletes CronJobs, CONCURRENT_REQUESTS at a time.

If a change fails, the other changes are tried all the same. How one CronJob is written is left to `put`: an edit never
deletes and recreates, and a creation never adopts an existing object. A deletion orphans the CronJob's Jobs, so that a
running tick ends in peace; each Job has a time to live and goes later. The cache hears of each change as it happens,
because the change's event may come long before the plan is done.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import is_conflict

from region_operator.cronjobs.cache import News
from region_operator.cronjobs.labels import FIELD_MANAGER
from region_operator.cronjobs.live import end_of_pause
from region_operator.kube.api import CONCURRENT_REQUESTS, ERRORS, Api
from region_operator.kube.api_errors import describe, is_overload
from region_operator.kube.change_log import log_keys, record, who_changed
from region_operator.kube.cronjob_watch import cronjobs_path
from region_operator.kube.put import put
from region_operator.plan.changes import Delete, Write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.kube.cronjob_watch import CronJobWatch
    from region_operator.plan.changes import Plan, Render
    from region_operator.regions.region import RegionRow

    HandOver = Callable[[LiveCronJob, RegionRow], Awaitable[None]]

log = logging.getLogger(__name__)

GIVE_UP_AFTER = CONCURRENT_REQUESTS
"""After so many consecutive overload errors, the rest of the plan is left to the next reconcile."""


class HandOverError(Exception):
    """What belongs to a deleted region could not be given to the region that has its code. The message says why."""


class ApplyError(Exception):
    """Some changes of a plan failed. `first` is the error of the first failed change. The log names every failure."""

    def __init__(self, *, failed: int, untried: int, of: int, first: Exception) -> None:
        super().__init__(
            f"{failed} of {of} changes failed"
            + (f" and {untried} were not tried" if untried else "")
            + f", the first with: {_words(first)}; the log names each under the event 'change failed'"
        )
        self.first = first


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of carrying out a plan.

    `stale` counts the changes to decide anew, because somebody changed the CronJob after the look. `error` is None if
    nothing failed.
    """

    stale: int
    error: ApplyError | None


class PlanApplier:
    """Carries out one plan. `watch` holds the cache of the namespace's CronJobs; `render` gives the manifests.

    `hand_over` is called between the deletion of a CronJob and the creation of its successor. It raises HandOverError.
    `on_deleted` is called with the name of each CronJob that was deleted without a successor, and when (UTC, by the API
    server's clock).
    """

    def __init__(
        self,
        api: Api,
        watch: CronJobWatch,
        plan: Plan,
        *,
        namespace: str,
        render: Render,
        hand_over: HandOver | None = None,
    ) -> None:
        self._api, self._watch, self._cache = api, watch, watch.cache
        self._namespace, self._render, self._hand_over = namespace, render, hand_over
        self._changes: list[Write | Delete] = [*plan.writes, *plan.deletes]
        self._writes = len(plan.writes)
        self._next = iter(enumerate(self._changes))
        self._failures: dict[int, Exception] = {}
        self._stale = self._consecutive_overloads = 0
        self._replacement_failed = False
        self.tried = 0
        self.on_deleted: Callable[[str, datetime], None] = lambda _name, _at: None

    @property
    def total(self) -> int:
        """How many changes the plan has."""
        return len(self._changes)

    async def try_one(self) -> bool:
        """Carry out writes one by one until one succeeds, and return whether one did. `run` carries out the others.

        A write whose CronJob changed meanwhile is passed over. Raises ApplyError at a write that fails; the next call
        goes on with the next write.
        """
        for number, change in islice(self._next, self._writes - self.tried):
            if await self._try(number, change):
                return True
            if error := self._failures.get(number):
                raise ApplyError(failed=1, untried=self.total - self.tried, of=self.total, first=error)
        return False

    async def run(self) -> Applied:
        """Carry out the plan and return the result, also if some changes failed.

        After GIVE_UP_AFTER consecutive overload errors the rest of the plan is not tried. After one CronJob that is
        gone without its successor no more CronJobs are replaced.
        """
        async with asyncio.TaskGroup() as workers:  # no change outlives the reconcile: the next one decides anew
            for _ in range(min(CONCURRENT_REQUESTS, self.total)):
                workers.create_task(self._work())
        if not self._failures:
            return Applied(self._stale, None)
        first = self._failures[min(self._failures)]  # by the plan: a lasting failure then has the same message
        failed, untried = len(self._failures), self.total - self.tried
        return Applied(self._stale, ApplyError(failed=failed, untried=untried, of=self.total, first=first))

    async def _work(self) -> None:
        for number, change in self._next:
            if self._consecutive_overloads >= GIVE_UP_AFTER:
                return
            if self._replacement_failed and isinstance(change, Delete) and change.successor:
                continue  # the old CronJob would go, and the new one could not come
            await self._try(number, change)

    async def _try(self, number: int, change: Write | Delete) -> bool:
        """Carry out one change, and return whether that succeeded. Remember an error."""
        self.tried += 1
        try:
            await self._carry_out(change)
        except (*ERRORS, HandOverError) as error:
            if is_conflict(error):
                await self._decide_anew(change)
                return False
            extra = log_keys(change) | {"change": change.reason, "error": _words(error)}
            log.error("change failed", extra=extra)
            self._failures[number] = error
            overloaded = isinstance(error, ERRORS) and is_overload(error)
            self._consecutive_overloads = self._consecutive_overloads + 1 if overloaded else 0
            return False
        self._consecutive_overloads = 0
        return True

    async def _carry_out(self, change: Write | Delete) -> None:
        """Carry out one change and log the change. Raises what `api.ERRORS` lists."""
        if isinstance(change, Write):
            record(change, await self._write(change))
            return
        deleted_at = await self._delete(change.live)
        if deleted_at:
            record(change, log_keys(change))
        else:
            log.info("gone already", extra=log_keys(change))
        if change.successor:
            await self._replace(change.live, change.successor)
        elif deleted_at:
            self.on_deleted(change.live.name, deleted_at)

    async def _replace(self, gone: LiveCronJob, successor: Write) -> None:
        """Hand over to, and create, the successor of a CronJob that is gone. Raises HandOverError and `api.ERRORS`."""
        try:
            if self._hand_over:
                await self._hand_over(gone, successor.desired.region)
            await self._carry_out(successor)
        except (*ERRORS, HandOverError):
            self._replacement_failed = True
            raise

    async def _write(self, write: Write) -> dict[str, str]:
        """Write a CronJob, and return the log's keys."""
        manifest = self._render(write.desired, write.name)
        live = write.live
        body = msgspec.json.decode(live.body) if live and live.body else None
        self._cache.begin_write(write.name)
        written: LiveCronJob | None = None
        try:
            path = f"{cronjobs_path(self._namespace)}/{write.name}"
            if live and live.pause_over:
                await self._api.patch(path, end_of_pause(live), manager=FIELD_MANAGER)
            written = self._cache.read(await put(self._api, path, manifest, uid=live.uid if live else None, live=body))
        finally:
            news = self._cache.end_write(write.name, written)
        if news is not News.NOTHING or written.paused != (live is not None and live.paused):
            self._watch.on_news()  # also if somebody paused the region while the write was under way
        return log_keys(write) | who_changed(write, manifest, body)

    async def _delete(self, live: LiveCronJob) -> datetime | None:
        """Delete a CronJob if unchanged since the look. Return when; None if the CronJob is gone already."""
        path = f"{cronjobs_path(self._namespace)}/{live.name}"
        self._cache.begin_deletion(live.uid)
        try:
            deleted_at = await self._api.delete(path, uid=live.uid, resource_version=live.resource_version)
        except ApiException as error:
            if not is_conflict(error):  # a conflict may be with a first attempt of ours whose answer was lost
                self._cache.end_deletion(live.name, live.uid, done=False)
            raise
        if deleted_at:
            self._cache.end_deletion(live.name, live.uid, done=True)
        else:
            self._cache.remove(live.name, live.uid)
        return deleted_at

    async def _decide_anew(self, change: Write | Delete) -> None:
        """Leave a change to the next reconcile: perhaps a tick changed the CronJob, or somebody paused the region."""
        name = change.name if isinstance(change, Write) else change.live.name
        log.info("changed meanwhile", extra=log_keys(change) | {"change": change.reason})
        self._stale += 1
        with suppress(*ERRORS):  # without an answer the watch or the next full look tells
            await self._watch.refresh(self._namespace, name)
            now = self._cache.get(name)
            if isinstance(change, Delete) and now and not now.terminating:
                self._cache.end_deletion(name, change.live.uid, done=False)


def _words(error: Exception) -> str:
    return describe(error) if isinstance(error, ApiException) else str(error)
