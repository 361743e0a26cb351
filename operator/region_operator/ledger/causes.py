"""Judges ticks: why a tick left no row, and how an attempt ended that left an open row. Pure.

Which ticks are due to be judged is left to `finalize`. What is known of Jobs and pods comes from `job_watch`.

| the tick's Job      | what else is known                             | verdict                          |
|---------------------|------------------------------------------------|----------------------------------|
| active              | has or had a pod                               | none yet: the tick may write     |
| active              | waits too long for the first pod               | skipped: capacity, or refused    |
| active              | the Job controller has not looked at it        | missed: pod not started          |
| succeeded           |                                                | missed: not recorded             |
| failed              | never had a pod                                | skipped: capacity, or refused    |
| failed or gone      | a pod failure                                  | missed: the pod failure's reason |
| failed              | had a pod, ran out of time                     | missed: pod not started          |
| failed              | had a pod, ran out of retries                  | missed: pod failed               |
| gone                | never looked at, gone after its start deadline | missed: pod not started          |
| gone                |                                                | missed: job deleted              |
| never existed       | the schedule version is suspended              | skipped: suspended               |
| never existed       | CronJob deleted within the start deadline      | skipped: schedule changed        |
| never existed       | an earlier Job of the region was active        | skipped: still running           |
| never existed       | suspended within the start deadline            | skipped: suspended               |
| never existed       | schedule changed within the start deadline     | skipped: schedule changed        |
| never existed       | another installation owned the region          | missed: operator or cluster away |
| never existed       | Jobs were watched at the latest start          | missed: not created              |
| never existed       | Jobs were not watched at the latest start      | missed: operator or cluster away |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from region_operator.cronjobs.job import Job, JobState
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.ledger.expected_ticks import ExpectedTick
    from region_operator.ledger.pod_failure import PodFailure

_DAY = timedelta(days=1)

NOT_LOOKED_AT = "the Job controller had not come to the Job when the tick could no longer start"

_SKIPPED = frozenset({Reason.STILL_RUNNING, Reason.CAPACITY, Reason.CHANGED, Reason.SUSPENDED})
"""The reasons of ticks that were refused on purpose: by Forbid, by the cap, or by an edit of the schedule."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the final row of a tick says."""

    reason: Reason
    detail: str | None = None
    exit_code: int | None = None
    """The exit code of the tick's pod, if known."""

    @property
    def state(self) -> State:
        """The state of a tick that left no row: skipped or missed."""
        return State.SKIPPED if self.reason in _SKIPPED else State.MISSED


@dataclass(frozen=True, slots=True)
class LongRun:
    """A run that lasted for more than a minute after its tick, or still lasts: `ended` is then the end of its lease."""

    region_id: str
    tick_at: datetime
    created_at: datetime
    ended: datetime

    def was_in_the_way_of(self, tick: ExpectedTick) -> bool:
        """Whether the run was under way when a later `tick` of the region was due, and began before its latest start.

        A run that is more than a day older is none of the controller's any more.
        """
        is_earlier = tick.tick_at - _DAY <= self.tick_at < tick.tick_at
        return is_earlier and self.created_at < tick.latest_start and self.ended > tick.tick_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about a tick that has no row.

    `job` is None if nobody saw a Job. `overlapped` says whether an earlier tick of the region ran when the tick was
    due. `watched_since` is the moment since which Jobs have been watched without a gap. `taken_over_at` is when the
    region's slot was taken over from another installation, which made the Jobs of earlier ticks; None if never.
    """

    job: Job | None
    failure: PodFailure | None
    overlapped: bool
    watched_since: datetime
    taken_over_at: datetime | None = None


def judge(tick: ExpectedTick, evidence: Evidence) -> Verdict | None:
    """Return why the tick left no row; None if the tick's Job may still write the row."""
    job = evidence.job
    if job is None:
        return Verdict(_without_job(tick, evidence))
    if job.state is JobState.COMPLETE:
        return Verdict(Reason.NOT_RECORDED)
    if job.state is JobState.ACTIVE and not job.waits:
        return None
    if job.state is JobState.GONE and not job.started and _ended_after_its_start_deadline(job, tick):
        return Verdict(Reason.NOT_STARTED, NOT_LOOKED_AT)
    return _with_job(job, evidence.failure)


def judge_open(job: Job | None, failure: PodFailure | None, recorded_reason: Reason | str | None) -> Verdict | None:
    """Return how an attempt with an expired lease ended; None if the Job may still try again.

    `recorded_reason` is the reason that the attempt itself wrote into the row, if any.
    """
    if job is not None and job.state is JobState.ACTIVE:
        return None
    if failure is not None and failure.reason in (Reason.OUT_OF_MEMORY, Reason.NODE_LOST):
        return Verdict(failure.reason, failure.detail)
    if recorded_reason in tuple(Reason):
        return Verdict(Reason(recorded_reason))
    if job is not None and job.timed_out:
        return Verdict(Reason.TIMEOUT)
    return Verdict(Reason.LOST)


def _without_job(tick: ExpectedTick, evidence: Evidence) -> Reason:
    if tick.spec.suspended:
        return Reason.SUSPENDED
    if tick.ended_by_deletion and tick.ended_in_time:
        return Reason.CHANGED  # perhaps the CronJob was gone before the tick was due, and had nothing to wait for
    if evidence.overlapped:
        return Reason.STILL_RUNNING
    if tick.ended_in_time:
        return Reason.SUSPENDED if tick.ended_by_suspension else Reason.CHANGED
    if evidence.taken_over_at and tick.tick_at <= evidence.taken_over_at:
        return Reason.UNOBSERVED
    return Reason.NOT_CREATED if tick.latest_start >= evidence.watched_since else Reason.UNOBSERVED


def _ended_after_its_start_deadline(job: Job, tick: ExpectedTick) -> bool:
    """Whether the Job was gone after its start deadline, by what the Job itself was told: an edit changes no Job."""
    if job.ended is None or math.isinf(job.start_deadline_seconds):
        return False
    return job.ended > tick.tick_at + timedelta(seconds=job.start_deadline_seconds)


def _with_job(job: Job, failure: PodFailure | None) -> Verdict:
    if failure is not None:
        return Verdict(failure.reason, failure.detail, failure.exit_code)
    if job.waits:
        return Verdict(Reason.CAPACITY) if job.started else Verdict(Reason.NOT_STARTED, NOT_LOOKED_AT)
    if not job.failing:
        return Verdict(Reason.DELETED)
    if not job.had_pod:
        return Verdict(Reason.CAPACITY)
    return Verdict(Reason.NOT_STARTED if job.timed_out else Reason.POD_FAILED)
