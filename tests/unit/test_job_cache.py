"""jobs.py: what is read from the API server's objects, and what is remembered of them and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from region_operator.ledger import job_cache as memory
from region_operator.ledger.job_cache import JobCache, JobState, job_of_pod
from region_operator.ledger.pod_failure import (
    PodFailure,
    failure_of_pod,
    failure_of_refusals,
    failure_of_start,
    how_telling,
)
from region_tick.contract import Reason
from tests.harness.examples import JOB_AT as AT
from tests.harness.examples import job

NAME = job().name
LATER = AT + timedelta(minutes=5)
TIMED_OUT = ("Failed", "DeadlineExceeded")
IMAGE = PodFailure(Reason.IMAGE, "ImagePullBackOff")


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
    trouble = failure_of_pod({"status": status})
    assert (trouble.reason if trouble else None) == reason


CHANGED = "the object has been modified; please apply your changes to the latest version and try again"
WEBHOOK = 'Internal error occurred: failed calling webhook "a.b.c": context deadline exceeded'


def refusal(message: str, *, count: int | None = 1, last: str = "10:00:00") -> dict[str, Any]:
    return {"message": f"Error creating: {message}", "count": count, "lastTimestamp": f"2026-11-24T{last}Z"}


def quota(pod: str, **said: Any) -> dict[str, Any]:
    return refusal(f'pods "a-{pod}" is forbidden: exceeded quota: region-tick, requested: pods=1', **said)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "a-x7z2k" is forbidden: exceeded quota: region-tick, requested: pods=1', Reason.CAPACITY),
        ('pods "a-x7z2k" is forbidden: status unknown for quota: region-tick, resources: pods', Reason.CAPACITY),
        (f'Operation cannot be fulfilled on resourcequotas "region-tick": {CHANGED}', Reason.CAPACITY),
        (f'Operation cannot be fulfilled on serviceaccounts "default": {CHANGED}', Reason.REFUSED),
        ('pods "a-x7z2k" is forbidden: failed quota: theirs: must specify cpu for: tick', Reason.REFUSED),
        ('pods "a-x7z2k" is forbidden: no PriorityClass with name region-tick was found', Reason.REFUSED),
        (WEBHOOK, Reason.REFUSED),
    ],
)
def test_what_refused_a_pod(message: str, reason: Reason) -> None:
    assert failure_of_refusals([refusal(message)]) == PodFailure(reason, f"Error creating: {message}")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([quota("b"), quota("c"), refusal(WEBHOOK)], 0),  # each of the quota's names another pod
        ([quota("b"), quota("c"), refusal(WEBHOOK, count=3)], 2),
        ([quota("b", count=2), refusal(WEBHOOK, count=None)], 0),
        ([quota("b", last="10:00:07"), quota("c"), refusal(WEBHOOK, last="10:00:03")], 0),
        ([quota("b"), refusal(WEBHOOK, last="10:00:01")], 1),
    ],
)
def test_of_refusals_the_last_of_the_most_frequent_counts(events: list[dict[str, Any]], told: int) -> None:
    found = {failure_of_refusals(order).reason for order in permutations(events)}
    assert found == {failure_of_refusals([events[told]]).reason}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('Failed to pull image "x": failed to resolve reference "x": connection refused', Reason.IMAGE),
        ("Error: ImagePullBackOff", Reason.IMAGE),
        ("Error: InvalidImageName", Reason.IMAGE),
        ('Error: secret "absent" not found', Reason.NOT_STARTED),
    ],
)
def test_what_the_kubelet_says_of_a_container_that_does_not_start(message: str, reason: Reason) -> None:
    event = {"reason": "Failed", "message": message}
    assert failure_of_start(event) == PodFailure(reason, message)
    assert failure_of_start({"reason": "FailedScheduling", "message": message}) == PodFailure(Reason.NO_NODE, message)


def test_the_most_telling_event_comes_last() -> None:
    unscheduled = {"reason": "FailedScheduling", "message": "0/1 nodes are available"}
    said = {
        "Error: ImagePullBackOff": 9,  # less than any words
        'Error: object "default"/"absent" not registered': 1,  # by a kubelet that has let go of the pod
        "Error: failed to sync secret cache: timed out waiting for the condition": 1,  # or that has just begun
        'Error: secret "absent" not found': 4,
    }
    failed: list[dict[str, Any]] = [
        {"reason": "Failed", "message": message, "count": count} for message, count in said.items()
    ]
    assert sorted([*reversed(failed), unscheduled], key=how_telling) == [unscheduled, *failed]


def test_of_events_said_as_often_the_longest_tells_most() -> None:
    longer, shorter = ({"reason": "Failed", "message": f"Error: {words}"} for words in ("a b c", "a b"))
    assert sorted([longer, shorter], key=how_telling) == [shorter, longer]


@pytest.mark.parametrize("name", [NAME, "r" * 52 + "-29925240"])
def test_a_pod_is_of_the_job_of_its_name_that_was_there_then(name: str) -> None:
    """Of a long name the pod's leaves out some digits of the minute."""
    pod = f"{name}-"[:58] + "x7z2k"
    found = job(TIMED_OUT, name=name)
    before = replace(found, name=f"{name[:-1]}9", created=AT - timedelta(hours=1), ended=AT - timedelta(minutes=59))
    assert job_of_pod(pod, AT, [before, replace(found, ended=LATER)]) == replace(found, ended=LATER)
    assert job_of_pod(pod, LATER, [before, replace(found, ended=LATER)]) is None
    assert job_of_pod(f"{pod}x", AT, [before, replace(found, ended=LATER)]) is None


def test_what_is_vague_takes_the_place_of_nothing() -> None:
    seen = JobCache()
    seen.remember(job(active=1))
    vague = failure_of_pod({"status": {"phase": "Pending"}})
    assert vague is not None
    seen.remember_failure(NAME, vague)
    assert seen.failure_of(NAME) == vague
    seen.remember_failure(NAME, IMAGE)
    seen.remember_failure(NAME, vague)
    assert seen.failure_of(NAME) == IMAGE


def test_a_job_is_overdue_only_while_it_is_active() -> None:
    patience = timedelta(seconds=10)
    assert not job(active=1).overdue(AT + timedelta(seconds=70), patience)
    assert job(active=1).overdue(AT + timedelta(seconds=71), patience)
    assert not job(TIMED_OUT).overdue(LATER, patience)


def test_a_job_waits_from_its_controllers_first_look_until_it_has_a_pod_or_fails_or_is_gone() -> None:
    seen = JobCache()
    waits = job(name="waits")
    others = [job(name="new", startTime=None), job(name="at-work", active=1), job(TIMED_OUT, name="failed")]
    for found in (waits, *others, job(name="gone")):
        seen.remember(found)
    seen.mark_gone("gone", LATER)
    assert seen.waiting() == [waits]


def test_memory_is_bounded_and_keeps_what_is_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 3)
    seen = JobCache()
    for number in range(5):
        seen.remember(job(name=f"j{number}", active=1))
    seen.remember_failure("j4", IMAGE)
    seen.remember_failure("unknown", IMAGE)
    assert (len(seen), seen.get("j1"), seen.failure_of("unknown")) == (3, None, None)
    seen.replace_all([job(name="j4", active=1)], LATER)
    states = {name: found.state for name in ("j2", "j3", "j4") if (found := seen.get(name))}
    assert states == {"j2": JobState.GONE, "j3": JobState.GONE, "j4": JobState.ACTIVE}
    seen.forget(LATER + timedelta(seconds=1))
    assert len(seen) == 1
    assert seen.failure_of("j4") == IMAGE
    seen.remember(job(("Complete", ""), name="j4"))
    assert (len(seen), seen.failure_of("j4")) == (0, None)


def test_a_pod_that_was_there_is_remembered_when_the_counts_no_longer_say_so() -> None:
    seen = JobCache()
    seen.remember(job(active=1))
    seen.remember(job(TIMED_OUT))
    found = seen.get(NAME)
    assert found is not None
    assert found.had_pod
    assert seen.by_region() == {"k": [found]}
    seen.remember(job(TIMED_OUT, uid="another"))
    found = seen.get(NAME)
    assert found is not None
    assert not found.had_pod


def test_what_may_have_succeeded_is_forgotten_before_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 3)
    seen = JobCache()
    seen.remember(job(TIMED_OUT, name="failed"))
    for number in range(5):  # a success, where only the others are watched
        seen.remember(job(name=f"j{number}", active=1))
        seen.mark_gone(f"j{number}", LATER)
    seen.remember(job(name="active", active=1))
    assert [name for name in ("failed", "j3", "j4", "active") if seen.get(name)] == ["failed", "j4", "active"]
    seen.remember(job(name="j4", active=1))  # another of the same name
    seen.remember(job(name="last", active=1))
    assert [name for name in ("failed", "j4", "active", "last") if seen.get(name)] == ["j4", "active", "last"]
