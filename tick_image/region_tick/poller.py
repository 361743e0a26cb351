"""Polls many creators in parallel, but each host with a few threads only.

A thread serves one host's creators at a time, with one client. A hanging host thus holds only its own share of the
threads, and one connection serves many creators. If the consumer is slow, the threads wait: a thread sends its next
request only after its last result fitted into the queue. The threads are daemons and are never joined, so a tick that
must stop can stop at once, even if requests hang.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, Queue, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING

from region_tick.addresses import Addresses
from region_tick.fetch import Client, FetchError, RefusedError, Request, Response
from region_tick.retry import ThrottledError, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from logging import Logger
    from threading import Event

    from region_tick.adapters import Adapter, Creator, Found, NotModified
    from region_tick.poll_settings import PollSettings

_CHECK_SECONDS = 0.25
_PATIENCE_SECONDS = 1.0
"""How long after the deadline `Poller.poll` waits for the threads' last results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """The result of polling one creator."""

    creator: Creator
    result: Found | NotModified | FetchError
    requests: int = 0
    cost: int = 0
    """What the requests took from the platform's quota, in the platform's units."""


class _Host:
    """One host's creators that wait for a poll, and the host's throttling, if any. All threads may call `throttle`."""

    def __init__(self) -> None:
        self.waiting: deque[Creator] = deque()
        self.throttled: ThrottledError | None = None
        self._again_at = 0.0
        self._lock = Lock()

    def throttle(self, error: ThrottledError) -> None:
        """Stop the requests to the host. If several threads get such an answer, the latest time counts."""
        again_at = time.monotonic() + error.leave_alone_seconds
        with self._lock:
            if again_at > self._again_at:
                self.throttled, self._again_at = error, again_at


class Poller:
    """Polls creators until the time `until` (seconds of time.monotonic()) or until `stopping` is set."""

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        settings: PollSettings,
        *,
        until: float,
        stopping: Event,
        log: Logger,
        addresses: Addresses | None = None,
    ) -> None:
        self._adapters, self._settings = adapters, settings
        self._until, self._stopping, self._log = until, stopping, log
        self._addresses = addresses or Addresses(allowed=settings.allow_networks, denied=settings.deny_networks)
        self._hosts: SimpleQueue[_Host] = SimpleQueue()
        self._results: Queue[Polled] = Queue(maxsize=1)  # a single result can have megabytes

    def poll(self, creators: Sequence[Creator]) -> Iterator[Polled | None]:
        """Yield each creator's result as soon as the result is there, and None every _CHECK_SECONDS without a result.

        A None lets the caller check whether to stop. The iterator ends when all creators have a result or when time is
        over. A creator without a result by then was not polled.
        """
        refused = self._queue_hosts(creators)
        yield from refused
        missing = len(creators) - len(refused)
        for number in range(min(self._settings.concurrency, self._hosts.qsize())):
            Thread(target=self._serve_hosts, name=f"poll-{number}", daemon=True).start()
        while missing and time.monotonic() < self._until + _PATIENCE_SECONDS:
            try:
                polled = self._results.get(timeout=_CHECK_SECONDS)
            except Empty:
                yield None
            else:
                missing -= 1
                yield polled

    def _queue_hosts(self, creators: Sequence[Creator]) -> list[Polled]:
        """Queue the hosts to be asked, and return the results of creators that have no host to ask.

        A host is queued once per thread that may serve the host: concurrency_per_host times at most.
        """
        hosts: dict[str, _Host] = {}
        refused: list[Polled] = []
        for creator in creators:
            try:
                name = self._adapter(creator).host(creator)
            except RefusedError as error:
                refused.append(Polled(creator=creator, result=error))
            else:
                hosts.setdefault(name, _Host()).waiting.append(creator)
        for number in range(self._settings.concurrency_per_host):
            for host in hosts.values():
                if len(host.waiting) > number:
                    self._hosts.put(host)
        return refused

    def _adapter(self, creator: Creator) -> Adapter:
        try:
            return self._adapters[creator.platform]
        except KeyError:
            known = ", ".join(sorted(self._adapters))
            raise RefusedError(f"platform {creator.platform[:40]!r} is unknown: write one of {known}") from None

    def _serve_hosts(self) -> None:
        """Take hosts from the queue and poll their creators, until the queue is empty. Runs in a thread."""
        while True:
            try:
                host = self._hosts.get_nowait()
            except Empty:
                return
            with closing(Client(self._addresses, user_agent=self._settings.user_agent)) as client:
                self._poll_host(host, client)

    def _poll_host(self, host: _Host, client: Client) -> None:
        while time.monotonic() < self._until and not self._stopping.is_set():
            try:
                creator = host.waiting.popleft()
            except IndexError:
                return
            if host.throttled is not None:
                self._results.put(Polled(creator=creator, result=host.throttled))
                continue
            polled = self._poll(creator, client)
            if isinstance(polled.result, ThrottledError) and polled.result.whole_host:
                host.throttle(polled.result)
            self._results.put(polled)

    def _poll(self, creator: Creator, client: Client) -> Polled:
        requests = cost = 0

        def send(request: Request, until: float) -> Response:
            nonlocal requests, cost
            requests, cost = requests + 1, cost + request.cost
            return client.send(request, until=until)

        def ask_politely(request: Request) -> Response:
            seconds = self._settings.request_seconds
            return ask(send, request, until=self._until, request_seconds=seconds, wait=self._stopping.wait)

        result: Found | NotModified | FetchError
        try:
            result = self._adapter(creator).poll(creator, ask_politely)
        except FetchError as error:
            result = _without_frames(error)
        except Exception as error:
            # An unforeseen answer must cost its creator only, not the whole region.
            self._log.exception("adapter failed", extra={"creator": creator.id, "platform": creator.platform})
            result = RefusedError(f"the adapter of {creator.platform} failed: {type(error).__name__}")
        return Polled(creator=creator, result=result, requests=requests, cost=cost)


def _without_frames(error: FetchError) -> FetchError:
    """Remove an error's references to stack frames and to the answer, and return the error.

    The frames hold answers' bodies, and form reference cycles that live until the next garbage collection.
    """
    error.__context__ = error.__cause__ = None
    if isinstance(error, RefusedError):
        error.response = None
    return error.with_traceback(None)
