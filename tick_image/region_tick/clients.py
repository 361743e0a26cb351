"""Keeps HTTP clients between requests, so that the next request to a host may find its connection open.

A client serves one thread at a time. Clients that nobody used for IDLE_SECONDS are closed when the next one is lent,
and never more than IDLE_LIMIT are kept: a TLS connection takes some 60 kB, and a tick may ask thousands of hosts.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from region_tick.fetch import Client

IDLE_SECONDS = 15.0
"""How long an open connection is kept. Most servers keep theirs a little longer, or far longer."""
IDLE_LIMIT = 64
"""How many clients are kept, of all hosts together."""


class Clients:
    """Lends clients by host. Any thread may borrow; `make` makes a new client."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._idle: deque[tuple[float, str, Client]] = deque()
        """When each client was last used (time.monotonic()), for which host; the one used last is at the end."""
        self._lock = Lock()

    @contextmanager
    def lend(self, host: str) -> Iterator[Client]:
        """Lend a client to the calling thread, preferably the one that was used last for the host."""
        self._close_idle(since=time.monotonic() - IDLE_SECONDS)
        client = self._take(host) or self._make()
        try:
            yield client
        except BaseException:
            client.close()
            raise
        with self._lock:
            self._idle.append((time.monotonic(), host, client))
        self._close_idle(keep=IDLE_LIMIT)

    def close(self) -> None:
        """Close all clients that are not lent."""
        self._close_idle(keep=0)

    def _take(self, host: str) -> Client | None:
        with self._lock:
            for place in reversed(range(len(self._idle))):
                _, last_host, client = self._idle[place]
                if last_host == host:
                    del self._idle[place]
                    return client
        return None

    def _close_idle(self, *, since: float = float("-inf"), keep: int = IDLE_LIMIT) -> None:
        """Close the clients that were last used before `since`, and the oldest of those beyond `keep`."""
        closing: list[Client] = []
        with self._lock:
            while self._idle and (self._idle[0][0] <= since or len(self._idle) > keep):
                closing.append(self._idle.popleft()[2])
        for client in closing:
            client.close()
