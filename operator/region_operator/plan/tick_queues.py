"""Simulates the two queues that a tick passes before it starts, second by second. Pure: no clock, no I/O.

First the CronJob controller makes the tick's Job, a limited number a second for the whole cluster. A tick that is not
made within its start deadline is lost. Then the Job waits for the Job controller, which makes a limited number of pods
a second, and for a slot: as many pods may run at once as spec.concurrency says. A tick whose pod comes too late to
claim is lost too. Both queues serve the oldest minute first. Within a minute the order is arbitrary, so each start
deadline has its share of every second.

Ticks are counted in fractions: the result is the mean of many days. That a region overlaps with itself (a tick that
takes longer than its interval) is not simulated, because only the mean duration of all ticks is known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from region_tick.contract import LATENESS_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

BURST_SECONDS = 1.5
"""How many seconds' worth of Jobs the CronJob controller makes at once after a pause.

kube-controller-manager has by default --kube-api-burst=30 beside --kube-api-qps=20. Of 500 CronJobs of one minute, 13
were started at once, and 8.4 in each second after (Kubernetes 1.37).
"""
PODS_PER_JOB = 0.38
"""How many pods the Job controller makes while the CronJob controller makes a Job.

Both may send as many requests a second, --kube-api-qps each. A Job costs the CronJob controller two or three requests.
A pod costs the Job controller six: the pod, its Event, its finalizer, and the Job's status three times. With default
settings and more Jobs than it could serve, the Job controller made 3 pods a second in the mean of six minutes, and
between 1.5 and 5 in a single minute, because it makes pods and ends Jobs by turns (Kubernetes 1.37).
"""
LATE_SECONDS = 60
"""How long after its minute a tick must start to be late."""
_LEAST_SLOT_SECONDS = 1.0
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What serves the ticks. `slots` is spec.concurrency, `jobs_per_second` the CronJob controller's rate.

    A pod needs `start_seconds` from its creation to its claim, and holds its slot for `slot_seconds` in all.
    """

    slots: int
    jobs_per_second: float
    start_seconds: float
    slot_seconds: float
    pods_per_job: float = PODS_PER_JOB

    @property
    def pods_per_second(self) -> float:
        """The Job controller's rate."""
        return self.jobs_per_second * self.pods_per_job

    @property
    def burst(self) -> float:
        """How many Jobs the controller makes at once after a pause."""
        return self.jobs_per_second * BURST_SECONDS

    @property
    def patience_seconds(self) -> float:
        """How many seconds after its start deadline a tick may get a slot and still claim in time."""
        return max(0.0, LATENESS_TOLERANCE_SECONDS - self.start_seconds)


@dataclass(slots=True)
class Outcome:
    """What becomes of the ticks of one minute. The counts are means, so fractions."""

    due: float
    late: float = 0.0
    lost: float = 0.0


class _Batch:
    """The ticks of one minute in one queue. `due` is the minute's first second.

    `counts` has, by the second at which ticks expire, soonest first, how many ticks there were. `scale` is the part of
    the ticks that is still there: so taking ticks costs the same for any number of start deadlines.
    """

    __slots__ = ("counts", "due", "expires", "outcome", "scale", "total")

    def __init__(self, outcome: Outcome, due: int, counts: dict[float, float]) -> None:
        self.outcome = outcome
        self.due = due
        self.counts = counts
        self.scale = 1.0
        self.total = sum(counts.values())
        self.expires = next(iter(counts))

    def drop_expired(self, second: int) -> None:
        """Count the ticks that expire up to a second as lost."""
        while self.counts and self.expires <= second:
            lost = self.counts.pop(self.expires) * self.scale
            self.outcome.lost += lost
            self.total = self.total - lost if self.counts else 0.0
            self.expires = next(iter(self.counts), second + 1)

    def take(self, wanted: float) -> float:
        """Take ticks out, each start deadline by its share. Return the share that was taken of each, 0 to 1."""
        if wanted > self.total - _ROUNDING:
            self.counts, self.total = {}, 0.0
            return 1.0
        share = wanted / self.total
        self.scale *= 1 - share
        self.total -= wanted
        return share

    def add(self, counts: Mapping[float, float]) -> None:
        """Put ticks in, with start deadlines that the batch has already."""
        for expires, count in counts.items():
            self.counts[expires] += count / self.scale
            self.total += count


def simulate(demand: Mapping[int, Mapping[int, float]], capacity: Capacity) -> dict[int, Outcome]:
    """Return what becomes of the ticks of each minute, by the minute.

    `demand` has by minute, from 0 on, and by start deadline in seconds how many ticks are due. The queues are empty
    before the first minute.
    """
    outcomes = {minute: Outcome(sum(counts.values())) for minute, counts in demand.items()}
    creating: deque[_Batch] = deque()
    waiting: deque[_Batch] = deque()
    started = [0.0]  # by second: how many ticks had started before
    jobs, pods = capacity.burst, capacity.burst * capacity.pods_per_job
    second, last_minute = 0, max(demand, default=-1)
    while creating or waiting or second <= 60 * last_minute:
        minute, rest = divmod(second, 60)
        if rest == 0 and minute in demand:
            counts = {second + float(deadline): count for deadline, count in sorted(demand[minute].items())}
            creating.append(_Batch(outcomes[minute], second, counts))
        if not creating and not waiting:
            started += [started[-1]] * (60 - rest)
            second += 60 - rest
            jobs, pods = capacity.burst, capacity.burst * capacity.pods_per_job
            continue
        jobs -= _create(creating, waiting, second, jobs, capacity.patience_seconds)
        begun = _start(waiting, second, min(pods, _free_slots(started, second, capacity)))
        started.append(started[second] + begun)
        jobs = min(jobs + capacity.jobs_per_second, capacity.burst)
        pods = min(pods - begun + capacity.pods_per_second, capacity.burst * capacity.pods_per_job)
        second += 1
    return outcomes


def _create(
    creating: deque[_Batch], waiting: deque[_Batch], second: int, jobs: float, patience_seconds: float
) -> float:
    """Move at most `jobs` ticks from the first queue to the second. Return how many were moved."""
    for batch in creating:
        batch.drop_expired(second)
    made = 0.0
    while creating and made < jobs:
        batch = creating[0]
        if batch.total > 0:
            counts, scale = batch.counts, batch.scale
            made += (moved := min(jobs - made, batch.total))
            share = batch.take(moved) * scale
            taken = {expires + patience_seconds: count * share for expires, count in counts.items()}
            if waiting and waiting[-1].due == batch.due:
                waiting[-1].add(taken)
            else:
                waiting.append(_Batch(batch.outcome, batch.due, taken))
        if batch.total > 0:
            break
        creating.popleft()
    return made


def _free_slots(started: list[float], second: int, capacity: Capacity) -> float:
    """Return how many slots are free within a second: slots whose ticks end by the end of the second are."""
    before = second + 1 - max(capacity.slot_seconds, _LEAST_SLOT_SECONDS)
    if before <= 0:
        return capacity.slots - started[second]
    whole = int(before)
    ended = started[whole]
    if whole < second:
        ended += (before - whole) * (started[whole + 1] - started[whole])
    return capacity.slots - (started[second] - ended)


def _start(waiting: deque[_Batch], second: int, free: float) -> float:
    """Start ticks of the second queue, at most as many as slots are `free`. Return how many."""
    for batch in waiting:
        batch.drop_expired(second)
    begun = 0.0
    while waiting:
        batch = waiting[0]
        if batch.total > 0 and begun < free:
            begun += (taken := min(free - begun, batch.total))
            batch.take(taken)
            if second - batch.due >= LATE_SECONDS:
                batch.outcome.late += taken
        if batch.total > 0:
            break
        waiting.popleft()
    return begun
