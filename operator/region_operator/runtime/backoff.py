"""How long to wait before what failed is tried again: longer each time up to a limit, with jitter."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0
ROW_LIMIT = 30
"""After so many doublings the back-off has long been at its limit; a thousand would be no number any more."""


class Backoffs:
    """The seconds to wait before each further attempt at what fails, without end. Iterated anew for each row of
    failures.
    """

    def __iter__(self) -> Iterator[float]:
        return (back_off(row, first=FIRST_RETRY_SECONDS, uniform=random.uniform) for row in count())


def back_off(row: int, *, first: float, uniform: Callable[[float, float], float]) -> float:
    """Return how many seconds to wait after so many failures before this one: longer and longer up to a limit, and by
    chance, so that not all who fail at once come again at once.
    """
    limit = min(LAST_RETRY_SECONDS, first * 2 ** min(row, ROW_LIMIT))
    return uniform(limit / 2, limit)
