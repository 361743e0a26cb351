"""Computes how long to wait before a failed attempt is repeated: longer each time up to a limit, with jitter."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0
MAX_DOUBLINGS = 30
"""After so many doublings every back-off is at LAST_RETRY_SECONDS. After a thousand doublings a float overflows."""


class Backoffs:
    """The seconds to wait before each further attempt, without end. Every iteration starts at the first back-off."""

    def __iter__(self) -> Iterator[float]:
        return (backoff_seconds(n, first=FIRST_RETRY_SECONDS, uniform=random.uniform) for n in count())


def backoff_seconds(earlier_failures: int, *, first: float, uniform: Callable[[float, float], float]) -> float:
    """Return how many seconds to wait after a failure that had `earlier_failures` before it without a success between.

    The wait doubles with each failure, from `first` seconds up to LAST_RETRY_SECONDS. `uniform` then chooses a time
    between half the wait and the whole wait: clients that failed together do not come back together.
    """
    limit = min(LAST_RETRY_SECONDS, first * 2 ** min(earlier_failures, MAX_DOUBLINGS))
    return uniform(limit / 2, limit)
