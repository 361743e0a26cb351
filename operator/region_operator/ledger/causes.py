"""Why a tick left no row, and how an attempt ended that left its row open. Pure.

| its Job             | what else is known                             | row                             |
|---------------------|------------------------------------------------|---------------------------------|
| active              | has or had a pod                               | none yet: its own to write      |
| active              | waits for its first pod, too long by now       | skipped: capacity, or refused   |
| succeeded           |                                                | missed: not recorded            |
| failed              | never had a pod                                | skipped: capacity, or refused   |
| failed or gone      | what troubled its pods                         | missed: that                    |
| failed              | had a pod, ran out of time                     | missed: pod not started         |
| failed              | had a pod, ran out of retries                  | missed: pod failed              |
| gone                |                                                | missed: job deleted             |
| there was none      | its schedule was suspended                     | skipped: suspended              |
| there was none      | the region's Job before was active             | skipped: still running          |
| there was none      | it was suspended within its start deadline     | skipped: suspended              |
| there was none      | its schedule ended within its start deadline   | skipped: schedule changed       |
| there was none      | somebody looked when it should have been made  | missed: not created             |
| there was none      | nobody did                                     | missed: operator or cluster away|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from region_operator.ledger.job_cache import Job, JobState
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.ledger.expected_ticks import ExpectedTick
    from region_operator.ledger.pod_failure import PodFailure

_SKIPPED = frozenset({Reason.STILL_RUNNING, Reason.CAPACITY, Reason.CHANGED, Reason.SUSPENDED})
"""Refused on purpose: by Forbid, by the cap, by whoever ended or suspended the schedule."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a row is to say."""

    reason: Reason
    detail: str | None = None

    @property
    def state(self) -> State:
        """The state of a tick that had no row."""
        return State.SKIPPED if self.reason in _SKIPPED else State.MISSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about a tick. `watched_since` is from when on Jobs have been looked at."""

    job: Job | None
    trouble: PodFailure | None
    overlapped: bool
    watched_since: datetime


def judge(tick: ExpectedTick, evidence: Evidence) -> Verdict | None:
    """Say why a tick left no row; None where its Job may still write it."""
    job = evidence.job
    if job is None:
        return Verdict(_without_job(tick, evidence))
    if job.state is JobState.COMPLETE:
        return Verdict(Reason.NOT_RECORDED)
    if job.state is JobState.ACTIVE and not job.waits:
        return None
    return _after(job, evidence.trouble)


def judge_open(job: Job | None, trouble: PodFailure | None, said: Reason | str | None) -> Verdict | None:
    """Say how an attempt ended whose lease is over; None where its Job may still try again. `said` is its own word."""
    if job is not None and job.state is JobState.ACTIVE:
        return None
    if trouble is not None and trouble.reason in (Reason.OUT_OF_MEMORY, Reason.NODE_LOST):
        return Verdict(trouble.reason, trouble.detail)
    if said in tuple(Reason):
        return Verdict(Reason(said))
    if job is not None and job.timed_out:
        return Verdict(Reason.TIMEOUT)
    return Verdict(Reason.LOST)


def _without_job(tick: ExpectedTick, evidence: Evidence) -> Reason:
    if tick.spec.suspended:
        return Reason.SUSPENDED
    if evidence.overlapped:
        return Reason.STILL_RUNNING
    if tick.ended_in_time:
        return Reason.SUSPENDED if tick.stopped else Reason.CHANGED
    return Reason.NOT_CREATED if tick.latest_start >= evidence.watched_since else Reason.UNOBSERVED


def _after(job: Job, trouble: PodFailure | None) -> Verdict:
    if trouble is not None:
        return Verdict(trouble.reason, trouble.detail)
    if job.waits:
        return Verdict(Reason.CAPACITY)
    if not job.failing:
        return Verdict(Reason.DELETED)
    if not job.had_pod:
        return Verdict(Reason.CAPACITY)
    return Verdict(Reason.NOT_STARTED if job.timed_out else Reason.POD_FAILED)
