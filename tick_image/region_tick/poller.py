"""Polls many creators in parallel, but each host with a few requests only.

The caller's thread hands out the work: hosts take turns, and a creator goes to a thread only when the creator's host
has a place (host_places). So no thread waits for a host, and a hanging host holds no more threads than it has places.
The threads are daemons and are never joined, so a tick that must stop can stop at once, even if requests hang. If the
consumer is slow, the threads wait: there are never more results than threads.
"""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from region_tick.addresses import Addresses
from region_tick.asking import Asker, Polled, creator_seconds
from region_tick.clients import Clients
from region_tick.fetch import Client, RefusedError, TransientError
from region_tick.host_places import UNASKED, LocalPlaces, Outcome, Place, Places
from region_tick.retry import WAIT_LIMIT_SECONDS, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from logging import Logger
    from threading import Event

    from region_tick.adapters import Adapter, Creator
    from region_tick.daily_budget import Budgets
    from region_tick.poll_settings import PollSettings

_CHECK_SECONDS = 0.25
_PATIENCE_SECONDS = 1.0
"""How long after the deadline `Poller.poll` waits for the threads' last results."""


@dataclass(slots=True)
class _Host:
    """One host's creators that wait for a poll."""

    name: str
    waiting: deque[Creator] = field(default_factory=deque)
    again_at: float = 0.0
    """When to ask for a place again (time.monotonic())."""


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
        places: Places | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self._settings, self._until, self._stopping = settings, until, stopping
        self._asker = Asker(adapters, settings, log=log, budgets=budgets)
        addresses = addresses or Addresses(allowed=settings.allow_networks, denied=settings.deny_networks)
        self._clients = Clients(lambda: Client(addresses, user_agent=settings.user_agent))
        self._places: Places = places or LocalPlaces(settings.concurrency_per_host)
        self._turns: deque[_Host] = deque()
        self._under_way: dict[int, Place] = {}
        """The place of each creator that a thread has, by the creator's id."""
        self._work: SimpleQueue[tuple[Creator, Place] | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Creator, Polled | None, Outcome]] = SimpleQueue()

    def poll(self, creators: Sequence[Creator]) -> Generator[Polled | None]:
        """Yield each creator's result as soon as the result is there, and None about every _CHECK_SECONDS without one.

        A None lets the caller check whether to stop. The iterator ends when all creators have a result or when time is
        over. A creator without a result by then counts as not polled. Close the iterator to give the places back.
        """
        yield from self._queue_hosts(creators)
        threads = min(self._settings.concurrency, len(creators))
        for number in range(threads):
            Thread(target=self._serve, name=f"poll-{number}", daemon=True).start()
        try:
            yield from self._hand_out()
            while self._is_busy():
                try:
                    creator, polled, outcome = self._results.get(timeout=self._seconds_to_next_turn())
                except Empty:
                    yield None
                else:
                    self._take_back(creator, outcome)
                    yield from self._hand_out()
                    yield polled
                    continue
                yield from self._hand_out()
        finally:
            for place in self._under_way.values():
                self._places.give(place, UNASKED)
            for _ in range(threads):
                self._work.put(None)
            self._clients.close()

    def _queue_hosts(self, creators: Sequence[Creator]) -> list[Polled]:
        """Queue the hosts to be asked, and return the results of creators that have no host to ask."""
        hosts: dict[str, _Host] = {}
        refused: list[Polled] = []
        for creator in creators:
            try:
                name = self._asker.host(creator)
            except RefusedError as error:
                refused.append(Polled(creator=creator, result=error))
            else:
                hosts.setdefault(name, _Host(name)).waiting.append(creator)
        self._turns.extend(hosts.values())
        return refused

    def _hand_out(self) -> list[Polled]:
        """Give free threads work, by turns of the hosts. Return the results of creators whose host is left alone."""
        left_alone: list[Polled] = []
        in_vain = 0
        while in_vain < len(self._turns) and len(self._under_way) < self._settings.concurrency and not self._is_over():
            host = self._turns.popleft()
            place = self._places.take(host.name) if host.again_at <= time.monotonic() else None
            in_vain = 0 if isinstance(place, Place) else in_vain + 1
            if isinstance(place, Place):
                creator = host.waiting.popleft()
                self._under_way[creator.id] = place
                self._work.put((creator, place))
            elif place is not None and place.reason is not None and place.seconds > WAIT_LIMIT_SECONDS:
                error = ThrottledError(f"{host.name} is left alone: {place.reason}", place.seconds)
                left_alone += [Polled(creator=creator, result=error) for creator in host.waiting]
                continue
            elif place is not None:
                host.again_at = time.monotonic() + place.seconds * random.uniform(0.5, 1.5)  # noqa: S311
            if host.waiting:
                self._turns.append(host)
        return left_alone

    def _take_back(self, creator: Creator, outcome: Outcome) -> None:
        place = self._under_way.pop(creator.id)
        self._places.give(place, outcome)
        for host in self._turns:
            if host.name == place.host:
                host.again_at = 0.0

    def _is_over(self) -> bool:
        return time.monotonic() >= self._until or self._stopping.is_set()

    def _is_busy(self) -> bool:
        waiting = bool(self._turns) and not self._is_over()
        return (waiting or bool(self._under_way)) and time.monotonic() < self._until + _PATIENCE_SECONDS

    def _seconds_to_next_turn(self) -> float:
        if len(self._under_way) >= self._settings.concurrency or not self._turns:
            return _CHECK_SECONDS
        next_turn = min(host.again_at for host in self._turns) - time.monotonic()
        return min(max(next_turn, 0.01), _CHECK_SECONDS)

    def _serve(self) -> None:
        """Poll the creators that are handed out, until there are no more. Runs in a thread.

        A request that our own deadline cut off is no failure of the upstream's, nor of the host's: nothing was learnt.
        """
        while (work := self._work.get()) is not None:
            creator, place = work
            until = min(self._until, time.monotonic() + creator_seconds(self._settings))
            with self._clients.lend(place.host) as client:
                polled, outcome = self._asker.ask(
                    creator, client, until=until, wait=self._stopping.wait, once=place.failing
                )
            is_cut_off = isinstance(polled.result, TransientError) and time.monotonic() >= self._until
            self._results.put((creator, None, UNASKED) if is_cut_off else (creator, polled, outcome))
