"""Keeps a cache true to a collection of the API server: follows the objects by a watch, and lists them where no watch
runs.

The name and the idea are those of client-go (tools/cache/reflector.go). The watch begins with a streaming list; a
server that knows no streaming lists is asked for pages. A watch that ends goes on from where it came to. A watch that
fails is relied on no more, and begun again after a back-off; a watch whose past the server has forgotten (410) begins
with a list. What an object tells is left to the cache.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, TypeVar

from kubernetes.aio.client import ApiException

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
"""How long who relies on the cache waits for the first list of a watch that was just begun."""

SHORTEST_WATCH_SECONDS = 1.0
"""A watch that the server ends sooner has failed: without a back-off the next one would be asked for at once."""

_LIST_ENDS = "k8s.io/initial-events-end"
"""The annotation of the bookmark at the end of a streaming list."""

_NO_STREAMING_LIST = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})


class Versioned(Protocol):
    """An object as a small value."""

    @property
    def name(self) -> str: ...

    @property
    def resource_version(self) -> str: ...


T = TypeVar("T", bound=Versioned)
Value = TypeVar("Value", contravariant=True)


class Cache(Protocol[Value]):
    """What a reflector fills: lists and events come in any order and perhaps twice, because a list may be under way
    while events arrive. Each method returns whether there was news.
    """

    def replace_all(self, values: Collection[Value], version: str) -> bool:
        """Take in a list of all objects, as of the resourceVersion `version`."""

    def fold(self, value: Value) -> bool:
        """Take in an object as an event shows it."""

    def remove(self, value: Value) -> bool:
        """Take in that an object is gone, or no longer fits the path's selectors. `value` is its last state, with the
        resourceVersion at which the object went.
        """


class Reflector(Generic[T]):
    """Fills `cache` with the objects of a collection, whose path may have selectors in a query.

    `decode` reads an object's JSON. `resource` is the collection's name in the log. `on_news` is called after an event
    that is news, and when the watch is lost. `clock` returns seconds.
    """

    def __init__(
        self,
        api: Api,
        cache: Cache[T],
        *,
        resource: str,
        decode: Callable[[bytes], T],
        on_news: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._cache = cache
        self._resource = resource
        self._decode = decode
        self._on_news = on_news
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

    async def run(self, path: str) -> NoReturn:
        """Follow the objects until cancelled. An error is logged, and the watch begun again after a back-off."""
        self._running = True
        try:
            delays = iter(Backoffs())
            while True:
                began = self._clock()
                failed = True
                try:
                    await self._follow(path)
                    failed = False
                except Exception as error:
                    self._record_failure(error)
                if self._clock() - began >= SHORTEST_WATCH_SECONDS:
                    delays = iter(Backoffs())
                    if not failed:
                        continue
                await asyncio.sleep(next(delays))
        finally:  # without a watch, everything is listed
            self._running = False
            self._following.clear()

    def _record_failure(self, error: Exception) -> None:
        """Follow no more. What happens from now on is found by listing."""
        if self._following.is_set():
            self._following.clear()
            self._on_news()
        if self._version is None and _status(error) in _NO_STREAMING_LIST and self._streaming_lists:
            self._streaming_lists = False
            return
        self._tried.set()
        if _status(error) == HTTPStatus.GONE:
            self._version = None
        if keys := self._log_limiter.record_failure(describe_cause(error)):
            extra = {"resource": self._resource, "error": describe_cause(error), **keys}
            log.warning("not watching", extra=extra, exc_info=not isinstance(error, (*ERRORS, TimeoutError)))

    async def catch_up(self, path: str, *, full: bool) -> None:
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
            await self._look(path)

    async def _look(self, path: str) -> bool:
        """List everything. Return whether there was news."""
        async with self._looking:
            version, values = "", list[T]()
            async for page in self._api.pages(path):
                version = page.metadata.resource_version
                values += await run_in_slices(_decode_in_pieces(page.items, self._decode))
            if self._version is None and not self._streaming_lists:
                self._version = version  # the watch goes on from here
            return self._take_in(values, version)

    async def _follow(self, path: str) -> None:
        """Watch until the server ends the watch. Raises what `api.ERRORS` lists."""
        first = not self._listed
        if self._version is None and not self._streaming_lists and await self._look(path) and not first:
            self._on_news()
        listed: dict[str, T] | None = {} if self._version is None else None

        def opened() -> None:
            if listed is None:
                self._begin_following()

        async with aclosing(watch(self._api, path, since=self._version, on_open=opened)) as events:
            async for event in events:
                if listed is None:
                    self._take_event(event)
                elif self._gather(event, listed):
                    listed = None

    def _gather(self, event: WatchEvent, listed: dict[str, T]) -> bool:
        """Take in an event of a streaming list. Return whether the list is complete."""
        if event.type != "BOOKMARK":
            value = self._decode(bytes(event.object))
            if event.type == "DELETED":
                listed.pop(value.name, None)
            else:
                listed[value.name] = value
            return False
        bookmark = decode_bookmark(event.object).metadata
        if _LIST_ENDS not in bookmark.annotations:
            return False
        self._version = bookmark.resource_version
        first = not self._listed
        news = self._take_in(listed.values(), bookmark.resource_version)
        self._begin_following()
        if news and not first:
            self._on_news()
        return True

    def _take_event(self, event: WatchEvent) -> None:
        if event.type == "BOOKMARK":
            self._version = decode_bookmark(event.object).metadata.resource_version
            return
        value = self._decode(bytes(event.object))
        self._version = value.resource_version
        if self._cache.remove(value) if event.type == "DELETED" else self._cache.fold(value):
            self._on_news()

    def _take_in(self, values: Collection[T], version: str) -> bool:
        """Take in a list of everything. Return whether there was news."""
        news = self._cache.replace_all(values, version)
        self._listed = True
        return news

    def _begin_following(self) -> None:
        self._following.set()
        self._tried.set()
        if keys := self._log_limiter.record_success():
            log.info("watching again", extra={"resource": self._resource, **keys})


def _decode_in_pieces(items: Iterable[msgspec.Raw], decode: Callable[[bytes], T]) -> Generator[None, None, list[T]]:
    """Decode the objects of a page, and yield after each."""
    values = []
    for item in items:
        values.append(decode(bytes(item)))
        yield
    return values


def _status(error: Exception) -> int | None:
    return error.status if isinstance(error, ApiException) else None
