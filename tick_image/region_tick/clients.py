"""Keeps HTTP clients between requests, so that the next request to a host may find its connection open.

A client serves one thread at a time. A client that nobody used for IDLE_SECONDS is closed when the next one is lent.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from region_tick.fetch import Client

IDLE_SECONDS = 15.0
"""How long an open connection is kept. Most servers keep theirs a little longer, or far longer."""


class Clients:
    """Lends clients by host. Any thread may borrow; `make` makes a new client."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._idle: defaultdict[str, deque[tuple[float, Client]]] = defaultdict(deque)
        self._lock = Lock()

    @contextmanager
    def lend(self, host: str) -> Iterator[Client]:
        """Lend a client to the calling thread, preferably the one that was used last for the host."""
        too_old = self._take_idle_since(time.monotonic() - IDLE_SECONDS)
        for client in too_old:
            client.close()
        with self._lock:
            idle = self._idle.get(host)
            client = idle.pop()[1] if idle else self._make()
        try:
            yield client
        except BaseException:
            client.close()
            raise
        with self._lock:
            self._idle[host].append((time.monotonic(), client))

    def close(self) -> None:
        """Close all clients that are not lent."""
        for client in self._take_idle_since(float("inf")):
            client.close()

    def _take_idle_since(self, moment: float) -> list[Client]:
        """Take out the clients that were last used before `moment` (time.monotonic())."""
        taken: list[Client] = []
        with self._lock:
            for host in list(self._idle):
                clients = self._idle[host]
                while clients and clients[0][0] <= moment:
                    taken.append(clients.popleft()[1])
                if not clients:
                    del self._idle[host]
        return taken
