"""A simulated namespace: CronJobs of every minute, their Jobs and a quota of pods, and a Nudger beside the controllers.

The simulation knows what decides who starts when. The CronJob controller creates the Jobs of a minute one by one, in no
particular order, and none for a region whose Job before is active. The Job controller tries to make the pod when it
first sees the Job, again after 1, 2, 4 ... 60 s, and at once after a nudge. The ledger deletes, once a minute, the Jobs
that wait although they are too late to claim. Time passes in steps; nothing sleeps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from region_operator.cronjobs.job import Job, JobState
from region_operator.kube.nudge import Nudger
from region_operator.scheduler import format_time
from region_tick.contract import LATENESS_TOLERANCE_SECONDS
from tests.harness.clock import Clock
from tests.harness.waiting_jobs import BEGAN, MINUTE, START_DEADLINE, job, quota

if TYPE_CHECKING:
    from random import Random

STEP_SECONDS = 0.125
TOO_LATE_SECONDS = START_DEADLINE + LATENESS_TOLERANCE_SECONDS
LATE_TICK_SECONDS = 1.0
"""How long a tick takes that comes too late to claim."""


@dataclass(slots=True)
class SimulatedJob:
    """A Job of one region and minute. Moments are in seconds since the beginning."""

    region: str
    tick_at: float
    created: float
    retry_at: float
    back_off: float = 1.0
    failed_pods: int = 0
    claimed: bool = False
    pod_ends_at: float | None = None

    @property
    def name(self) -> str:
        return f"{self.region}-{MINUTE + int(self.tick_at) // 60}"

    def body(self) -> Job:
        """Return the Job as the API server has it."""
        active = int(self.pod_ends_at is not None)
        return job(self.name, active=active, failed=self.failed_pods, startTime=timestamp(self.created))


@dataclass(slots=True)
class SimulatedSlots:
    """Regions of every minute share slots. `ticks` counts the ticks of each region that were done.

    A tick takes `tick_seconds`. The first pod of each tick of a region in `failing` fails. The CronJob controller
    creates `jobs_each_step` Jobs in a step. The ledger deletes Jobs at the second `ledger_at` of a minute.
    """

    regions: list[str]
    slots: int
    tick_seconds: float
    random: Random
    jobs_each_step: int
    ledger_at: float = 50.0
    failing: frozenset[str] = frozenset()
    clock: Clock = field(default_factory=Clock)
    ticks: Counter[str] = field(default_factory=Counter)
    nudger: Nudger = field(init=False)
    _last_tick: dict[str, float] = field(default_factory=dict)
    _last_success: dict[str, float] = field(default_factory=dict)
    _jobs: dict[str, SimulatedJob] = field(default_factory=dict)
    _to_create: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin_to_lead()

    def begin_to_lead(self) -> None:
        """Let another operator lead, which sees what the API server has: the CronJobs and the Jobs without success."""
        successes = {region: timestamp(success) for region, success in self._last_success.items()}
        self.nudger = Nudger(
            last_success=lambda region: successes.get(region, ""),
            clock=self.clock,
            wall_clock=lambda: BEGAN + self.clock.now,
        )
        for each in self._jobs.values():
            self.nudger.observe_job(each.body())

    def run(self, minutes: int) -> None:
        """Let minutes pass."""
        for _ in range(int(minutes * 60 / STEP_SECONDS)):
            self._step(self.clock.now)
            self.clock.now += STEP_SECONDS

    def _step(self, now: float) -> None:
        for each in [each for each in self._jobs.values() if each.pod_ends_at is not None and each.pod_ends_at <= now]:
            self._end_pod(each, now)
        if now % 60 == 0:
            self._to_create = self.random.sample(self.regions, len(self.regions))
        for region in self._to_create[: self.jobs_each_step]:
            self._create(region, now)
        del self._to_create[: self.jobs_each_step]
        if now % 60 == self.ledger_at:
            self._delete_late(now)
        for each in [each for each in self._jobs.values() if each.pod_ends_at is None and each.retry_at <= now]:
            self._try_pod(each, now)
        self.nudger.observe_quota(quota(hard=self.slots, used=self._used), deleted=False)
        chosen = self.nudger.choose_jobs()
        self.nudger.remember_nudges(chosen)
        for waiting in chosen:
            self._try_pod(self._jobs[waiting.name], now)

    @property
    def _used(self) -> int:
        return sum(each.pod_ends_at is not None for each in self._jobs.values())

    def _create(self, region: str, now: float) -> None:
        tick_at = now - now % 60
        forbidden = any(each.region == region for each in self._jobs.values())
        if now - tick_at < START_DEADLINE and self._last_tick.get(region) != tick_at and not forbidden:
            made = SimulatedJob(region, tick_at, created=now, retry_at=now)
            self._jobs[made.name] = made
            self._last_tick[region] = tick_at

    def _try_pod(self, each: SimulatedJob, now: float) -> None:
        if self._used < self.slots:
            each.claimed |= now - each.tick_at <= TOO_LATE_SECONDS
            each.pod_ends_at = now + (self.tick_seconds if each.claimed else LATE_TICK_SECONDS)
        else:
            each.retry_at, each.back_off = now + each.back_off, min(2 * each.back_off, 60.0)
        self.nudger.observe_job(each.body())

    def _end_pod(self, each: SimulatedJob, now: float) -> None:
        each.pod_ends_at = None
        if each.claimed and each.region in self.failing and not each.failed_pods:
            each.failed_pods, each.retry_at = 1, now + 10.0
            self.nudger.observe_job(each.body())
            return
        self._remove(each, now)
        self._last_success[each.region] = now
        self.ticks[each.region] += each.claimed

    def _delete_late(self, now: float) -> None:
        for each in list(self._jobs.values()):
            if not each.claimed and each.pod_ends_at is None and now - each.tick_at > TOO_LATE_SECONDS:
                self._remove(each, now)

    def _remove(self, each: SimulatedJob, now: float) -> None:
        self.nudger.observe_job(replace(each.body(), state=JobState.GONE))
        del self._jobs[each.name]
        self._create(each.region, now)


def timestamp(seconds: float) -> str:
    """Write a moment of the simulation like the API server."""
    return format_time(datetime.fromtimestamp(BEGAN + seconds, UTC))
