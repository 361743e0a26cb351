"""ledger/pod_failure.py: pod failures by pods and Events as the API server has them."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from region_operator.cronjobs.wire import encode
from region_operator.ledger.pod_failure import (
    PodFailure,
    failure_of_pod,
    failure_of_refusals,
    failure_of_start,
    how_telling,
)
from region_operator.ledger.pod_wire import Event, Pod, decode_event, decode_pod
from region_tick.contract import Reason


def pod(status: dict[str, Any]) -> Pod:
    return decode_pod(encode({"metadata": {"name": "pod-1"}, "status": status}))


EVICTED = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]}


def event(body: dict[str, Any]) -> Event:
    return decode_event(encode(body))


def container(**state: Any) -> dict[str, Any]:
    return {"phase": "Pending", "containerStatuses": [{"name": "tick", "state": state}]}


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"phase": "Pending", "conditions": [{"type": kind, "status": status, "reason": reason, "message": "m"}]}


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (container(waiting={"reason": "ImagePullBackOff", "message": "m"}), Reason.IMAGE, None),
        (container(waiting={"reason": "CreateContainerConfigError"}), Reason.NOT_STARTED, None),
        (container(waiting={"reason": "ContainerCreating"}), Reason.NOT_STARTED, None),
        (container(terminated={"reason": "OOMKilled", "exitCode": 137}), Reason.OUT_OF_MEMORY, 137),
        (container(terminated={"reason": "Error", "exitCode": 75}), Reason.DATABASE, 75),
        (container(terminated={"reason": "Error", "exitCode": 1}), Reason.POD_FAILED, 1),
        (condition("PodScheduled", "False", "Unschedulable"), Reason.NO_NODE, None),
        (condition("DisruptionTarget", "True", "DeletionByTaintManager"), Reason.NODE_LOST, None),
        (EVICTED | container(terminated={"reason": "Error", "exitCode": 143}), Reason.NODE_LOST, 143),
        ({"phase": "Failed", "reason": "Evicted", "message": "m"}, Reason.NODE_LOST, None),
    ],
)
def test_what_a_pod_says(status: dict[str, Any], reason: Reason, code: int | None) -> None:
    failure = failure_of_pod(pod(status))
    assert failure is not None
    assert (failure.reason, failure.exit_code, failure.pod) == (reason, code, "pod-1")


def test_a_pod_that_runs_has_no_failure() -> None:
    assert failure_of_pod(pod({"phase": "Running"})) is None


def before_tick(tick: dict[str, Any], **state: Any) -> dict[str, Any]:
    ticks, others = [{"name": "tick", "state": tick}], [{"name": "proxy", "state": state}]
    return {"phase": "Pending", "containerStatuses": ticks, "initContainerStatuses": others}


WAITS = {"waiting": {"reason": "PodInitializing"}}


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (
            before_tick(WAITS, waiting={"reason": "ErrImagePull", "message": "m"}),
            PodFailure(Reason.IMAGE, "container proxy: ErrImagePull: m"),
        ),
        (
            before_tick(WAITS, terminated={"reason": "Error", "exitCode": 75}),
            PodFailure(Reason.POD_FAILED, "container proxy: exit code 75"),
        ),
        (before_tick(WAITS, running={}), PodFailure(Reason.NOT_STARTED, "its pod stays pending")),
        (before_tick({"running": {}}, terminated={"reason": "Error", "exitCode": 1}) | {"phase": "Running"}, None),
        (before_tick({"terminated": {"exitCode": 0}}, terminated={"exitCode": 143}) | {"phase": "Succeeded"}, None),
    ],
)
def test_an_init_container_is_to_blame_only_for_a_tick_that_did_not_start(
    status: dict[str, Any], failure: PodFailure | None
) -> None:
    assert failure_of_pod(pod(status)) == (failure and replace(failure, pod="pod-1"))


CHANGED = "the object has been modified; please apply your changes to the latest version and try again"

WEBHOOK = 'Internal error occurred: failed calling webhook "a.b.c": context deadline exceeded'


def refusal(message: str, *, count: int | None = 1, last: str = "10:00:00") -> Event:
    return event({"message": f"Error creating: {message}", "count": count, "lastTimestamp": f"2026-11-24T{last}Z"})


def quota(pod: str, **said: Any) -> Event:
    return refusal(f'pods "a-{pod}" is forbidden: exceeded quota: region-tick, requested: pods=1', **said)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "a-x7z2k" is forbidden: exceeded quota: region-tick, requested: pods=1', Reason.CAPACITY),
        ('pods "a-x7z2k" is forbidden: status unknown for quota: region-tick, resources: pods', Reason.CAPACITY),
        (f'Operation cannot be fulfilled on resourcequotas "region-tick": {CHANGED}', Reason.CAPACITY),
        (f'Operation cannot be fulfilled on serviceaccounts "default": {CHANGED}', Reason.REFUSED),
        (
            'pods "a-x7z2k" is forbidden: exceeded quota: region-tick-theirs, requested: limits.memory=1Gi',
            Reason.REFUSED,
        ),
        ('pods "a-x7z2k" is forbidden: status unknown for quota: theirs, resources: pods', Reason.REFUSED),
        (f'Operation cannot be fulfilled on resourcequotas "theirs": {CHANGED}', Reason.REFUSED),
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
def test_of_refusals_the_last_of_the_most_frequent_counts(events: list[Event], told: int) -> None:
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
    failed, unscheduled = (event({"reason": kind, "message": message}) for kind in ("Failed", "FailedScheduling"))
    assert failure_of_start(failed) == PodFailure(reason, message)
    assert failure_of_start(unscheduled) == PodFailure(Reason.NO_NODE, message)


def test_the_most_telling_event_comes_last() -> None:
    unscheduled = event({"reason": "FailedScheduling", "message": "0/1 nodes are available"})
    said = {
        "Error: ImagePullBackOff": 9,  # less than any words
        'Error: object "default"/"absent" not registered': 1,  # by a kubelet that has let go of the pod
        "Error: failed to sync secret cache: timed out waiting for the condition": 1,  # or that has just begun
        'Error: secret "absent" not found': 4,
    }
    failed = [event({"reason": "Failed", "message": message, "count": count}) for message, count in said.items()]
    assert sorted([*reversed(failed), unscheduled], key=how_telling) == [unscheduled, *failed]


def test_of_events_said_as_often_the_longest_tells_most() -> None:
    longer, shorter = (event({"reason": "Failed", "message": f"Error: {words}"}) for words in ("a b c", "a b"))
    assert sorted([longer, shorter], key=how_telling) == [shorter, longer]
