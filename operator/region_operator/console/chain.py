"""Explains a tick: the chain of what was seen, from the schedule that made it expected to the row that it has. Pure.

Each step says whether all was well. The first step that was not well shows where to look. What Kubernetes
has forgotten (Jobs, pods and Events go after a while) leaves no step; the row stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.console.reasons import explain_reason, say_suspended_by
from region_operator.console.region_views import Step
from region_operator.console.views import Source
from region_operator.scheduler import format_time
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_operator.console.region_views import TickRow
    from region_operator.console.standing import Version

_FINE = (State.SUCCEEDED, State.RUNNING)
_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCronJob:
    """A region's CronJob as it is now. `paused_by` and what follows are a person's annotations."""

    name: str
    uid: str
    created: datetime
    suspended: bool
    paused: bool
    managers: tuple[tuple[str, datetime | None], ...]
    paused_by: str | None = None
    paused_reason: str | None = None
    paused_since: datetime | None = None
    paused_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenJob:
    """A tick's Job. `ended` and `end` are the condition that ended the Job: Complete or Failed, and why."""

    name: str
    created: datetime
    ended: datetime | None
    failed: bool
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPod:
    """A pod of the Job: its phase, and in `trouble` what its containers and conditions complain of; "" if nothing."""

    name: str
    node: str | None
    created: datetime
    phase: str
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    """An Event about the CronJob, the Job or a pod."""

    at: datetime | None
    about: str
    reason: str
    message: str
    count: int
    warning: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known beside the tick's row. `made` is when the row was made. `unseen` says why the cluster was not
    asked; "" if it was.
    """

    version: Version | None
    made: datetime
    cronjob: SeenCronJob | None = None
    job: SeenJob | None = None
    pods: tuple[SeenPod, ...] = ()
    events: tuple[SeenEvent, ...] = ()
    unseen: str = ""


def explain(tick: TickRow, evidence: Evidence) -> tuple[Step, ...]:
    """Return the steps in order of time. A step without a time stands where it was found."""
    steps = [
        *_of_schedule(tick, evidence),
        *_of_cronjob(tick, evidence),
        *_of_job(tick, evidence),
        *_of_row(tick, evidence),
    ]
    placed: list[tuple[datetime, Step]] = []
    for step in steps:
        before = placed[-1][0] if placed else _EARLIEST
        placed.append((step.at or before, step))
    return tuple(step for _, step in sorted(placed, key=lambda item: item[0]))


def summarize(code: str, tick: TickRow) -> str:
    """Say in one sentence what became of a tick."""
    what = "manual run" if tick.manual_uid else "tick"
    text = f"the {what} of {code} at {format_time(tick.tick_at)} {_VERBS[tick.state]}"
    if tick.state is State.SUCCEEDED:
        took = f" in {tick.duration_seconds:.1f} s" if tick.duration_seconds is not None else ""
        return f"{text}{took}{_attempts(tick)}"
    if tick.reason is None:
        return f"{text}{_attempts(tick)}"
    why = explain_reason(tick.reason).meaning.rstrip(".")
    detail = f" ({said})" if (said := _error(tick)) else ""
    return f"{text}: {tick.reason}. {why}{detail}"


_VERBS = {
    State.RUNNING: "runs",
    State.INTERRUPTED: "was interrupted, and may run again",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.SKIPPED: "was skipped",
    State.MISSED: "was missed",
}


def _of_schedule(tick: TickRow, evidence: Evidence) -> Iterator[Step]:
    version = evidence.version
    if tick.manual_uid:
        yield Step(at=None, source=Source.SCHEDULE, text=f"started by hand, as Job {tick.job_name or '?'}", ok=True)
    elif version is None:
        yield Step(at=None, source=Source.SCHEDULE, text="no schedule of that time is on record any more", ok=False)
    else:
        text = f"expected by the schedule {version.cron} of CronJob {version.cronjob}"
        yield Step(at=version.since, source=Source.SCHEDULE, text=text, ok=True)
        if version.suspended:
            by = say_suspended_by(version.suspended_by) or "nobody knows by whom"
            yield Step(at=version.since, source=Source.CRONJOB, text=f"the CronJob is suspended: {by}", ok=False)


def _of_cronjob(tick: TickRow, evidence: Evidence) -> Iterator[Step]:
    if evidence.unseen:
        yield Step(at=None, source=Source.CRONJOB, text=f"the cluster was not asked: {evidence.unseen}", ok=False)
    elif evidence.cronjob is None:
        yield Step(at=None, source=Source.CRONJOB, text="the CronJob is gone", ok=False)
    elif evidence.cronjob.created > tick.tick_at:
        text = f"CronJob {evidence.cronjob.name} was made after the tick was due"
        yield Step(at=evidence.cronjob.created, source=Source.CRONJOB, text=text, ok=False)


def _of_job(tick: TickRow, evidence: Evidence) -> Iterator[Step]:
    job = evidence.job
    if job is None:
        if not evidence.unseen and tick.job_name and not tick.attempt:
            yield Step(at=None, source=Source.JOB, text=f"there is no Job {tick.job_name}", ok=False)
    else:
        yield Step(at=job.created, source=Source.JOB, text=f"Job {job.name} was created", ok=True)
        if job.ended:
            yield Step(at=job.ended, source=Source.JOB, text=f"the Job ended: {job.end}", ok=not job.failed)
    for pod in evidence.pods:
        where = f" on node {pod.node}" if pod.node else ", on no node yet"
        trouble = f": {pod.trouble}" if pod.trouble else ""
        text = f"pod {pod.name}{where} is {pod.phase}{trouble}"
        yield Step(at=pod.created, source=Source.POD, text=text, ok=not pod.trouble)
    for event in evidence.events:
        times = f" ({event.count} times)" if event.count > 1 else ""
        text = f"{event.about}: {event.reason}{times}: {event.message}"
        yield Step(at=event.at, source=Source.EVENT, text=text, ok=not event.warning)


def _of_row(tick: TickRow, evidence: Evidence) -> Iterator[Step]:
    if tick.attempt:
        late = f", {tick.start_delay_seconds:.1f} s after its minute" if tick.start_delay_seconds is not None else ""
        text = f"attempt {tick.attempt} claimed the tick{late}: pod {tick.pod or '?'} on node {tick.node or '?'}"
        yield Step(at=tick.started_at or evidence.made, source=Source.CLAIM, text=text, ok=True)
        if tick.finished_at:
            said = f", exit code {tick.exit_code}" if tick.exit_code else ""
            said += f": {error}" if (error := _error(tick)) else ""
            text = f"attempt {tick.attempt} ended: {tick.state}, {tick.reason or 'no reason yet'}{said}"
            yield Step(at=tick.finished_at, source=Source.ATTEMPT, text=text, ok=tick.state in _FINE)
        elif tick.state is State.RUNNING:
            yield Step(at=None, source=Source.ATTEMPT, text=f"attempt {tick.attempt} runs", ok=True)
    if tick.state.final:
        meaning = f": {explain_reason(tick.reason).meaning}" if tick.reason else ""
        text = f"the ledger says {tick.state}, {tick.reason}{meaning}"
        if not tick.attempt and tick.error_message:
            text += f" {tick.error_message}"
        at = tick.finished_at or evidence.made
        yield Step(at=at + timedelta(microseconds=1), source=Source.LEDGER, text=text, ok=tick.state in _FINE)


def _error(tick: TickRow) -> str:
    return ": ".join(filter(None, (tick.error_class, tick.error_message)))


def _attempts(tick: TickRow) -> str:
    return f", at attempt {tick.attempt}" if tick.attempt > 1 else ""
