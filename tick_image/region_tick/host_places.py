"""Says whether a host may be asked now: by a few requests at a time, and not while the host is left alone.

Whoever wants to ask a host takes a place at the host first, and gives the place back with the Outcome. LocalPlaces
knows what this process did. shared_places knows what all pods did.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from threading import Lock
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

BUSY_SECONDS = 0.2
"""When to try again for a place at a host whose places are all taken."""


class Verdict(Enum):
    """What the requests for one creator told about the host."""

    ANSWERED = auto()
    """The host answers, whatever the answer says of the creator."""
    FAILED = auto()
    """The host gave no answer, or said that something is wrong with the server."""
    THROTTLED = auto()
    """The host asks to be left alone."""
    UNASKED = auto()
    """Nothing was learnt: no request was sent, or the request was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the requests for one creator, as far as the host is concerned."""

    verdict: Verdict
    error: str = ""
    seconds: float = 0.0
    """How long the host wants to be left alone, if THROTTLED."""
    creator: str | None = None
    """If FAILED: for whom alone the host gave its answer; None if the host gave no answer at all. One creator alone
    must not condemn the host.
    """


UNASKED = Outcome(verdict=Verdict.UNASKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The right to send one request at a time to a host."""

    host: str
    number: int = 0
    until: datetime | None = None
    """When the place becomes free by itself (the database's clock); None for a place that only this process knows."""
    failing: bool = False
    """Whether the host's last request failed: then the host is asked once, without a repetition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """There is no place at the host. Ask for a place again in `seconds`."""

    seconds: float
    reason: str | None = None
    """Why the host is left alone; None if all places are taken."""


class Places(Protocol):
    """Gives out places at hosts."""

    def take(self, host: str) -> Place | Wait:
        """Take a place at a host, or return when to try again. Never waits for a place."""

    def give(self, place: Place, outcome: Outcome) -> None:
        """Give a place back, and record what became of the requests."""


class LocalPlaces:
    """The places of this process. Any thread may call the methods."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._taken: Counter[str] = Counter()
        self._left_alone: dict[str, tuple[float, str]] = {}
        self._lock = Lock()

    def take(self, host: str) -> Place | Wait:
        """Take one of `at_once` places, unless the host asked for a pause."""
        with self._lock:
            until, reason = self._left_alone.get(host, (0.0, ""))
            if (seconds := until - time.monotonic()) > 0:
                return Wait(seconds=seconds, reason=reason)
            self._left_alone.pop(host, None)
            if self._taken[host] >= self._at_once:
                return Wait(seconds=BUSY_SECONDS)
            self._taken[host] += 1
        return Place(host=host)

    def give(self, place: Place, outcome: Outcome) -> None:
        """Free the place, and remember a pause. A longer pause from an earlier answer stays."""
        with self._lock:
            self._taken[place.host] -= 1
            if not self._taken[place.host]:
                del self._taken[place.host]
            if outcome.verdict is Verdict.THROTTLED:
                now = time.monotonic()
                pause = (now + outcome.seconds, outcome.error)
                self._left_alone = {host: one for host, one in self._left_alone.items() if one[0] > now}
                self._left_alone[place.host] = max(self._left_alone.get(place.host, pause), pause)
