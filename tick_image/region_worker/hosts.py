"""Limits this process's requests per host: a few at a time, and none while the host asks for a pause."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from region_tick.fetch import TransientError
from region_tick.retry import ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHECK_SECONDS = 0.25


class Host:
    """One host. Any thread may call the methods."""

    def __init__(self, name: str, at_once: int) -> None:
        self._name = name
        self._places = BoundedSemaphore(at_once)
        self._again_at = 0.0
        self._lock = Lock()

    @contextmanager
    def turn(self, *, until: float, check: Callable[[], None]) -> Iterator[ThrottledError | None]:
        """Wait for a place at the host, hold the place, and yield a ThrottledError if the host asks for a pause.

        While waiting, `check` is called every _CHECK_SECONDS. Raises TransientError if no place is free by the time
        `until` (seconds of time.monotonic()), and the errors of `check`.
        """
        while not self._places.acquire(timeout=_CHECK_SECONDS):
            check()
            if time.monotonic() >= until:
                raise TransientError(f"{self._name} is busy with other requests of ours")
        try:
            yield self._throttled()
        finally:
            self._places.release()

    def throttle(self, error: ThrottledError) -> None:
        """Send no request for as long as the host asks. A longer pause from an earlier answer stays."""
        again_at = time.monotonic() + error.leave_alone_seconds
        with self._lock:
            self._again_at = max(self._again_at, again_at)

    def _throttled(self) -> ThrottledError | None:
        seconds = self._again_at - time.monotonic()
        return ThrottledError(f"{self._name} wants to be left alone", seconds) if seconds > 0 else None


class Hosts:
    """All hosts by name. A host is made at first use."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._hosts: dict[str, Host] = {}
        self._lock = Lock()

    def __getitem__(self, name: str) -> Host:
        with self._lock:
            return self._hosts.setdefault(name, Host(name, self._at_once))
