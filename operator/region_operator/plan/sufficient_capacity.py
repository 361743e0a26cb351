"""Computes how many slots, and how many Jobs a second, let every tick start in time. Pure: no clock, no I/O.

Each of the two limits is looked at as if the other were none. A queue that serves the oldest minute first loses nothing
if, in each minute, all that waits can be served before the soonest start deadline of the ticks that are due. The
results are estimates: with long ticks a few may still be lost. `tick_queues` says what a capacity really does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from region_operator.plan.tick_queues import BURST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from region_operator.plan.tick_queues import Capacity

_MARGIN = 1.05
_MOST = 1e6
"""More than this is named in no message: nothing but other schedules helps."""


def sufficient_slots(demand: Mapping[int, Mapping[int, float]], capacity: Capacity) -> int:
    """Return the least spec.concurrency with which no tick is lost for want of a slot, at least 1."""
    seconds = capacity.slot_seconds

    def suffices(slots: float) -> bool:
        work = 0.0  # in seconds of one slot
        last = 0
        for minute, counts in demand.items():
            window = min(counts) + capacity.patience_seconds - 1
            work = max(0.0, work - 60.0 * slots * (minute - last))
            all_at_once = slots * (window // seconds + 1) * seconds  # idle slots begin together and take whole turns
            one_by_one = slots * window + seconds  # the last tick starts once the slots have shared the work before it
            possible = one_by_one if work else all_at_once
            work += sum(counts.values()) * seconds
            if work > possible:
                return False
            last = minute
        return True

    return max(1, math.ceil(_least(suffices) * _MARGIN))


def sufficient_rate(demand: Mapping[int, Mapping[int, float]], capacity: Capacity) -> float:
    """Return the least number of Jobs a second with which no tick is lost for want of a Job or a pod, to a tenth.

    The Job controller's rate grows with the CronJob controller's.
    """

    def keeps_up(rate: float, patience_seconds: float) -> bool:
        left = 0.0
        last = 0
        for minute, counts in demand.items():
            left = max(0.0, left - 60.0 * rate * (minute - last))
            burst = BURST_SECONDS - 1 if left == 0 else 0.0
            left += sum(counts.values())
            if left > rate * (min(counts) + patience_seconds + burst):
                return False
            last = minute
        return True

    def suffices(rate: float) -> bool:
        seconds = max(0.0, capacity.patience_seconds - 2)  # a tick passes one queue a second at most
        return keeps_up(rate, 0.0) and keeps_up(rate * capacity.pods_per_job, seconds)

    return max(0.1, math.ceil(_least(suffices) * _MARGIN * 10) / 10)


def _least(suffices: Callable[[float], bool]) -> float:
    """Return the least number that suffices, within 1 %, at most _MOST."""
    high = 1.0
    while high < _MOST and not suffices(high):
        high *= 2
    low = high / 2 if high > 1 else 0.0
    while high - low > high / 100 and high > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high
