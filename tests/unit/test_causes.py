"""causes.py and jobs.py: the decision table row by row, from the objects as the API server has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from region_operator import jobs as memory
from region_operator.causes import Evidence, Verdict, judge, judge_open
from region_operator.in_force import Terms
from region_operator.jobs import Job, Jobs, JobState, Trouble, trouble_of_event, trouble_of_pod
from region_operator.ledger import Tick
from region_tick.contract import Reason, State

AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
TERMS = Terms(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20)
TICK = Tick("1", TERMS, AT, None)
CHANGED = Tick("1", TERMS, AT, AT + timedelta(seconds=1))
CHANGED_LATER = Tick("1", TERMS, AT, AT + timedelta(seconds=21))
LATER = AT + timedelta(minutes=5)


def job(*conditions: tuple[str, str], name: str = TICK.job, uid: str = "u", **status: Any) -> Job:
    stamp = AT.strftime("%Y-%m-%dT%H:%M:%SZ")
    found = [
        {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": stamp} for kind, reason in conditions
    ]
    return Job.from_object(
        {
            "metadata": {
                "name": name,
                "uid": uid,
                "resourceVersion": "1",
                "creationTimestamp": stamp,
                "labels": {"region-tick.dev/region": "k"},
            },
            "spec": {"activeDeadlineSeconds": 60},
            "status": {"startTime": stamp, "conditions": found} | status,
        }
    )


TIMED_OUT, TIRED = ("Failed", "DeadlineExceeded"), ("Failed", "BackoffLimitExceeded")
IMAGE = Trouble(Reason.IMAGE, "ImagePullBackOff")


@pytest.mark.parametrize(
    ("tick", "found", "trouble", "overlapped", "watched", "state", "reason"),
    [
        (TICK, job(active=1), None, False, AT, None, None),
        (TICK, job(active=1), IMAGE, False, AT, None, None),
        (TICK, job(("FailureTarget", "DeadlineExceeded"), terminating=1), IMAGE, False, AT, None, None),
        (TICK, job(), None, False, AT, State.SKIPPED, Reason.CAPACITY),
        (TICK, job(), Trouble(Reason.REFUSED, "no"), False, AT, State.MISSED, Reason.REFUSED),
        (TICK, job(startTime=None), None, False, AT, None, None),
        (TICK, job(("Complete", ""), succeeded=1), None, False, AT, State.MISSED, Reason.NOT_RECORDED),
        (TICK, job(TIMED_OUT), None, False, AT, State.SKIPPED, Reason.CAPACITY),
        (TICK, job(TIMED_OUT), Trouble(Reason.REFUSED, "no"), False, AT, State.MISSED, Reason.REFUSED),
        (TICK, job(TIMED_OUT, failed=1), IMAGE, False, AT, State.MISSED, Reason.IMAGE),
        (TICK, job(TIMED_OUT, failed=1), None, False, AT, State.MISSED, Reason.NOT_STARTED),
        (TICK, job(TIRED, failed=3), None, False, AT, State.MISSED, Reason.POD_FAILED),
        (TICK, None, None, True, AT, State.SKIPPED, Reason.STILL_RUNNING),
        (CHANGED, None, None, False, AT, State.SKIPPED, Reason.CHANGED),
        (CHANGED_LATER, None, None, False, AT, State.MISSED, Reason.NOT_CREATED),
        (TICK, None, None, False, AT + timedelta(seconds=20), State.MISSED, Reason.NOT_CREATED),
        (TICK, None, None, False, LATER, State.MISSED, Reason.UNOBSERVED),
    ],
)
def test_the_table(
    tick: Tick,
    found: Job | None,
    trouble: Trouble | None,
    overlapped: bool,
    watched: datetime,
    state: State | None,
    reason: Reason | None,
) -> None:
    verdict = judge(tick, Evidence(job=found, trouble=trouble, overlapped=overlapped, watched_since=watched))
    assert (verdict.state if verdict else None, verdict.reason if verdict else None) == (state, reason)


def test_a_job_that_somebody_deleted() -> None:
    seen = Jobs()
    seen.see(job(active=1))
    seen.gone(TICK.job, LATER)
    evidence = Evidence(job=seen.get(TICK.job), trouble=None, overlapped=False, watched_since=AT)
    assert judge(TICK, evidence) == Verdict(Reason.DELETED)


@pytest.mark.parametrize(
    ("found", "trouble", "said", "reason"),
    [
        (job(active=1), None, None, None),
        (job(TIRED, failed=1), Trouble(Reason.OUT_OF_MEMORY, ""), "terminated", Reason.OUT_OF_MEMORY),
        (job(TIRED, failed=1), Trouble(Reason.DATABASE, ""), "error", Reason.ERROR),
        (job(TIMED_OUT, failed=1), None, None, Reason.TIMEOUT),
        (None, None, "terminated", Reason.TERMINATED),
        (None, None, None, Reason.LOST),
    ],
)
def test_an_open_row(found: Job | None, trouble: Trouble | None, said: str | None, reason: Reason | None) -> None:
    verdict = judge_open(found, trouble, said)
    assert (verdict.reason if verdict else None) == reason


def container(**state: Any) -> dict[str, Any]:
    return {"phase": "Pending", "containerStatuses": [{"name": "tick", "state": state}]}


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"phase": "Pending", "conditions": [{"type": kind, "status": status, "reason": reason, "message": "m"}]}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (container(waiting={"reason": "ImagePullBackOff", "message": "m"}), Reason.IMAGE),
        (container(waiting={"reason": "CreateContainerConfigError"}), Reason.NOT_STARTED),
        (container(waiting={"reason": "ContainerCreating"}), Reason.NOT_STARTED),
        (container(terminated={"reason": "OOMKilled", "exitCode": 137}), Reason.OUT_OF_MEMORY),
        (container(terminated={"reason": "Error", "exitCode": 75}), Reason.DATABASE),
        (container(terminated={"reason": "Error", "exitCode": 1}), Reason.POD_FAILED),
        (condition("PodScheduled", "False", "Unschedulable"), Reason.NO_NODE),
        (condition("DisruptionTarget", "True", "DeletionByTaintManager"), Reason.NODE_LOST),
        ({"phase": "Failed", "reason": "Evicted", "message": "m"}, Reason.NODE_LOST),
        ({"phase": "Running"}, None),
    ],
)
def test_what_a_pod_says(status: dict[str, Any], reason: Reason | None) -> None:
    trouble = trouble_of_pod({"status": status})
    assert (trouble.reason if trouble else None) == reason


def test_what_an_event_says() -> None:
    assert trouble_of_event({"message": "pods is forbidden: exceeded quota: region-tick"}).reason is Reason.CAPACITY
    assert trouble_of_event({"message": "no PriorityClass with name region-tick"}).reason is Reason.REFUSED


def test_a_job_is_overdue_only_while_it_is_active() -> None:
    patience = timedelta(seconds=10)
    assert not job(active=1).overdue(AT + timedelta(seconds=70), patience)
    assert job(active=1).overdue(AT + timedelta(seconds=71), patience)
    assert not job(TIMED_OUT).overdue(LATER, patience)


def test_memory_is_bounded_and_keeps_what_is_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 3)
    seen = Jobs()
    for number in range(5):
        seen.see(job(name=f"j{number}", active=1))
    seen.trouble("j4", IMAGE)
    seen.trouble("unknown", IMAGE)
    assert (len(seen), seen.get("j1"), seen.trouble_of("unknown")) == (3, None, None)
    seen.all([job(name="j4", active=1)], LATER)
    states = {name: found.state for name in ("j2", "j3", "j4") if (found := seen.get(name))}
    assert states == {"j2": JobState.GONE, "j3": JobState.GONE, "j4": JobState.ACTIVE}
    seen.forget(LATER + timedelta(seconds=1))
    assert len(seen) == 1
    assert seen.trouble_of("j4") == IMAGE
    seen.see(job(("Complete", ""), name="j4"))
    assert (len(seen), seen.trouble_of("j4")) == (0, None)


def test_a_pod_that_was_there_is_remembered_when_the_counts_no_longer_say_so() -> None:
    seen = Jobs()
    seen.see(job(active=1))
    seen.see(job(TIMED_OUT))
    found = seen.get(TICK.job)
    assert found is not None
    assert found.had_pod
    assert seen.by_region() == {"k": [found]}
    seen.see(job(TIMED_OUT, uid="another"))
    found = seen.get(TICK.job)
    assert found is not None
    assert not found.had_pod
