"""Many creators polled at once, but each host by a few at a time.

A thread works through one host's creators at a time, with one client, so that a host that hangs holds no more than its
share of the threads, and a connection serves many creators. Who takes the results sets the pace: a thread asks no more
before its last result found room. The threads are daemons that nobody waits for: a tick that is told to stop stops at
once, whatever hangs.
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

    from region_tick.adapters import Adapter, Creator, Found
    from region_tick.poll_settings import PollSettings

_CHECK_SECONDS = 0.25
_PATIENCE_SECONDS = 1.0
"""How much longer than until their time is over the threads' last results are waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What came of polling a creator; `result` None: nothing has changed."""

    creator: Creator
    result: Found | FetchError | None
    requests: int = 0
    cost: int = 0
    """What the requests took from the platform's quota."""


class _Host:
    def __init__(self) -> None:
        self.waiting: deque[Creator] = deque()
        self.throttled: ThrottledError | None = None
        self._again_at = 0.0
        self._lock = Lock()

    def throttle(self, error: ThrottledError) -> None:
        """Ask it no more; of what it says to several threads, the later moment holds."""
        again_at = time.monotonic() + error.leave_alone_seconds
        with self._lock:
            if again_at > self._again_at:
                self.throttled, self._again_at = error, again_at


class Poller:
    """Polls creators until a time (seconds of time.monotonic()) or until it is told to stop."""

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
        self._addresses = addresses or Addresses(allowed=settings.allow_networks)
        self._hosts: SimpleQueue[_Host] = SimpleQueue()
        self._results: Queue[Polled] = Queue(maxsize=1)  # one can be megabytes

    def poll(self, creators: Sequence[Creator]) -> Iterator[Polled | None]:
        """Yield what comes of each creator as it comes, and None now and then, for the caller to look around.

        It ends when all is done or time is over; creators that then have no result have not been polled.
        """
        refused = self._share_out(creators)
        yield from refused
        missing = len(creators) - len(refused)
        for number in range(min(self._settings.concurrency, self._hosts.qsize())):
            Thread(target=self._work, name=f"poll-{number}", daemon=True).start()
        while missing and time.monotonic() < self._until + _PATIENCE_SECONDS:
            try:
                polled = self._results.get(timeout=_CHECK_SECONDS)
            except Empty:
                yield None
            else:
                missing -= 1
                yield polled

    def _share_out(self, creators: Sequence[Creator]) -> list[Polled]:
        """Queue the hosts that are to be asked; return what comes of creators that have none."""
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

    def _work(self) -> None:
        while True:
            try:
                host = self._hosts.get_nowait()
            except Empty:
                return
            with closing(Client(self._addresses)) as client:
                self._work_through(host, client)

    def _work_through(self, host: _Host, client: Client) -> None:
        while time.monotonic() < self._until and not self._stopping.is_set():
            try:
                creator = host.waiting.popleft()
            except IndexError:
                return
            if host.throttled is not None:
                self._results.put(Polled(creator=creator, result=host.throttled))
                continue
            polled = self._poll(creator, client)
            if isinstance(polled.result, ThrottledError):
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

        result: Found | FetchError | None
        try:
            result = self._adapter(creator).poll(creator, ask_politely)
        except FetchError as error:
            result = _bare(error)
        except Exception as error:
            # An answer that nobody thought of costs its creator, not the region.
            self._log.exception("adapter failed", extra={"creator": creator.id, "platform": creator.platform})
            result = RefusedError(f"the adapter of {creator.platform} failed: {type(error).__name__}")
        return Polled(creator=creator, result=result, requests=requests, cost=cost)


def _bare(error: FetchError) -> FetchError:
    """Take from an error what leads to the frames that it passed: they hold bodies, and hold each other until a
    garbage collection.
    """
    error.__context__ = error.__cause__ = None
    if isinstance(error, RefusedError):
        error.response = None
    return error.with_traceback(None)
