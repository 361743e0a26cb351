"""Keeps the cache of the namespace's CronJobs true: follows them by a watch, and lists them when a full look is due.

The watch has no label selector, because somebody can take the labels off. A watch makes wake-ups cheap and drift show
at once, but nothing relies on it: a full look lists everything at the refresh interval, and whenever no watch runs.
kopf does not watch the CronJobs, because kopf decodes each object into dictionaries
(docs/decisions/0022-one-watch-of-small-values.md).
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from kubernetes.aio.client import ApiException

from region_operator.cronjobs.cache import CronJobCache, News
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.wire import decode_bookmark
from region_operator.kube.api import ERRORS
from region_operator.kube.api_errors import describe_cause
from region_operator.kube.watch import watch
from region_operator.runtime.backoff import Backoffs
from region_operator.runtime.log_limiter import LogLimiter
from region_operator.runtime.slices import run_in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable

    import msgspec

    from region_operator.cronjobs.wire import WatchEvent
    from region_operator.kube.api import Api

log = logging.getLogger(__name__)

FIRST_LIST_SECONDS = 30.0
"""How long a reconcile waits for the first list of a watch that was just begun."""

SHORTEST_WATCH_SECONDS = 1.0
"""A watch that the server ends sooner has failed: without a back-off the next one would be asked for at once."""

_LIST_ENDS = "k8s.io/initial-events-end"
"""The annotation of the bookmark at the end of a streaming list."""

_NO_STREAMING_LIST = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})


def cronjobs_path(namespace: str) -> str:
    """Return the path of a namespace's CronJobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs"


class CronJobWatch:
    """Fills `cache` with the CronJobs of a namespace. `on_news` is called after an event that is news. `clock` returns
    seconds.
    """

    def __init__(self, api: Api, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._streaming_lists = True
        self._version: str | None = None
        """Up to which resourceVersion the events are known. None: everything must be listed anew."""
        self._running = False
        self._listed = False
        """Whether the cache was filled once."""
        self._following = asyncio.Event()
        """Set while the cache follows the events, so that nothing has to be listed."""
        self._tried = asyncio.Event()
        """Set when the watch has begun to follow, or has failed to, for the first time."""
        self._looking = asyncio.Lock()
        self._log_limiter = LogLimiter()
        self.cache = CronJobCache()
        self.on_news: Callable[[], None] = lambda: None

    async def run(self, namespace: str) -> NoReturn:
        """Follow the CronJobs until cancelled. An error is logged, and the watch begun again after a back-off."""
        self._running = True
        try:
            delays = iter(Backoffs())
            while True:
                began = self._clock()
                failed = True
                try:
                    await self._follow(namespace)
                    failed = False
                except Exception as error:
                    self._record_failure(error)
                if self._clock() - began >= SHORTEST_WATCH_SECONDS:
                    delays = iter(Backoffs())
                    if not failed:
                        continue
                await asyncio.sleep(next(delays))
        finally:  # without a watch, each reconcile lists everything
            self._running = False
            self._following.clear()

    def _record_failure(self, error: Exception) -> None:
        """Follow no more. What happens from now on is found by each reconcile's own listing."""
        if self._following.is_set():
            self._following.clear()
            self.on_news()
        if self._version is None and _status(error) in _NO_STREAMING_LIST and self._streaming_lists:
            self._streaming_lists = False
            return
        self._tried.set()
        if _status(error) == HTTPStatus.GONE:
            self._version = None
        if keys := self._log_limiter.record_failure(describe_cause(error)):
            own_error = None if isinstance(error, (*ERRORS, TimeoutError)) else error
            log.warning("not watching", extra={"error": describe_cause(error), **keys}, exc_info=own_error)

    async def catch_up(self, namespace: str, *, full: bool) -> None:
        """Make the cache show what the API server has: rely on the watch, or list everything.

        Everything is listed with `full`, and while no watch follows. The first list of a watch is as good. Raises what
        `api.ERRORS` lists.
        """
        first = self._running and not self._listed
        if first:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LIST_SECONDS):
                    await self._tried.wait()
        if not self._following.is_set() or (full and not first):
            await self._look(namespace)

    async def refresh(self, namespace: str, name: str) -> None:
        """Read one CronJob anew, because the API server has another version than the cache.

        Raises what `api.ERRORS` lists.
        """
        known = self.cache.get(name)
        body = await self._api.get(f"{cronjobs_path(namespace)}/{name}")
        if body is not None:
            self.cache.fold(LiveCronJob.from_object(body))
        elif known is not None:
            self.cache.remove(name, known.uid)

    async def _look(self, namespace: str) -> bool:
        """List all CronJobs. Return whether there was news."""
        async with self._looking:
            version, lives = "", list[LiveCronJob]()
            async for page in self._api.pages(cronjobs_path(namespace)):
                version = page.metadata.resource_version
                lives += await run_in_slices(self._read(page.items))
            if self._version is None and not self._streaming_lists:
                self._version = version  # the watch goes on from here
            return self._take_in(lives, version)

    async def _follow(self, namespace: str) -> None:
        """Watch until the server ends the watch. Raises what `api.ERRORS` lists."""
        first = not self._listed
        if self._version is None and not self._streaming_lists and await self._look(namespace) and not first:
            self.on_news()
        listed: dict[str, LiveCronJob] | None = {} if self._version is None else None

        def opened() -> None:
            if listed is None:
                self._begin_following()

        events = watch(self._api, cronjobs_path(namespace), since=self._version, on_open=opened)
        async with aclosing(events):
            async for event in events:
                if listed is None:
                    self._take_event(event)
                elif self._gather(event, listed):
                    listed = None

    def _gather(self, event: WatchEvent, listed: dict[str, LiveCronJob]) -> bool:
        """Take in an event of a streaming list. Return whether the list is complete."""
        if event.type != "BOOKMARK":
            live = self.cache.read(bytes(event.object))
            if event.type == "DELETED":
                listed.pop(live.name, None)
            else:
                listed[live.name] = live
            return False
        bookmark = decode_bookmark(event.object).metadata
        if _LIST_ENDS not in bookmark.annotations:
            return False
        self._version = bookmark.resource_version
        first = not self._listed
        news = self._take_in(listed.values(), bookmark.resource_version)
        self._begin_following()
        if news and not first:
            self.on_news()
        return True

    def _take_event(self, event: WatchEvent) -> None:
        if event.type == "BOOKMARK":
            self._version = decode_bookmark(event.object).metadata.resource_version
            return
        live = self.cache.read(bytes(event.object))
        self._version = live.resource_version
        news = self.cache.remove(live.name, live.uid) if event.type == "DELETED" else self.cache.fold(live)
        if news is News.DELETED:
            _log_deletion(live.name)
        if news is not News.NOTHING:
            self.on_news()

    def _read(self, items: Iterable[msgspec.Raw]) -> Generator[None, None, list[LiveCronJob]]:
        lives = []
        for item in items:
            lives.append(self.cache.read(bytes(item)))
            yield
        return lives

    def _take_in(self, lives: Collection[LiveCronJob], version: str) -> bool:
        """Take in a list of all CronJobs. Return whether there was news."""
        found = self.cache.replace_all(lives, version)
        self._listed = True
        for name, news in found:
            if news is News.DELETED:
                _log_deletion(name)
        return bool(found)

    def _begin_following(self) -> None:
        self._following.set()
        self._tried.set()
        if keys := self._log_limiter.record_success():
            log.info("watching again", extra=keys)


def _log_deletion(name: str) -> None:
    """Log a CronJob that somebody else has deleted."""
    log.info("deleted by another", extra={"cronjob": name})


def _status(error: Exception) -> int | None:
    return error.status if isinstance(error, ApiException) else None
