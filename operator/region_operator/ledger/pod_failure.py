"""Reads pod failures: why a pod did not do its tick, by the pod itself, or by Events of the pod or the Job. Pure.

Which pods and Events are read is left to `job_watch`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import CONTAINER, QUOTA_NAME
from region_tick.contract import ExitCode, Reason

if TYPE_CHECKING:
    from collections.abc import Collection

    from region_operator.cronjobs.wire import Condition
    from region_operator.ledger.pod_wire import ContainerStatus, Event, Pod, PodStatus, Terminated, Waiting

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_FAILED_SCHEDULING = "FailedScheduling"
POD_EVENT_REASONS = ("Failed", _FAILED_SCHEDULING)
"""The reasons of Events about pods that did not start. A deleted pod no longer says why, or is gone at once."""
_STAYS_PENDING = "its pod stays pending"
_QUOTA = (
    f"exceeded quota: {QUOTA_NAME},",
    f"status unknown for quota: {QUOTA_NAME},",
    f'cannot be fulfilled on resourcequotas "{QUOTA_NAME}"',
)
"""The refusals of our quota: the quota is full, is not counted yet, or got many requests at once
(k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go, CheckRequest, checkQuotas). Another quota refuses
pods for reasons of its own, and more slots of ours would not help."""
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})


@dataclass(frozen=True, slots=True)
class PodFailure:
    """Why a Job's pods did not do the tick. `detail` quotes the pod or the Event."""

    reason: Reason
    detail: str
    exit_code: int | None = None
    """The exit code of the tick's container, if it ended."""
    pod: str = ""
    """The pod's name; "" of a failure that an Event tells."""
    created: str = ""
    """When the pod was made, in the API server's words, which can be compared."""

    @property
    def vague(self) -> bool:
        """Whether an Event may tell more. A pod that is about to end no longer says why the pod did not start."""
        return self.detail == _STAYS_PENDING


def failure_of_pod(pod: Pod) -> PodFailure | None:
    """Return why a pod does not do its tick; None if the pod shows no failure."""
    failure = _failure_by_status(pod.status)
    return failure and replace(failure, pod=pod.metadata.name, created=pod.metadata.creation_timestamp)


def _failure_by_status(status: PodStatus) -> PodFailure | None:
    ticks = [container for container in status.container_statuses if container.name == CONTAINER]
    disrupted = _condition(status, "DisruptionTarget", "True")
    if disrupted or status.reason in ("Evicted", "NodeLost", "Preempting"):
        codes = [container.state.terminated.exit_code for container in ticks if container.state.terminated]
        return PodFailure(Reason.NODE_LOST, _quote(disrupted or status), next(iter(codes), None))
    for container in ticks:
        if failure := _failure_of_container(container):
            return failure
    if all(container.state.waiting for container in ticks):
        for container in status.init_container_statuses:
            if failure := _failure_of_container(container):
                return _failure_before_tick(container.name, failure)
    unscheduled = _condition(status, "PodScheduled", "False")
    if unscheduled:
        return PodFailure(Reason.NO_NODE, _quote(unscheduled))
    if status.phase == "Pending":
        return PodFailure(Reason.NOT_STARTED, _STAYS_PENDING)
    return None


def failure_of_refusals(events: Collection[Event]) -> PodFailure:
    """Return the pod failure by the FailedCreate Events of one Job. `events` holds at least one Event.

    The more frequent refusal decides: by the quota, or by something different. If both are equally frequent, the last
    Event decides. Counts are summed over Events: each refusal by the quota names another pod, so makes another Event.
    """
    refusals: Counter[Reason] = Counter()
    for event in events:
        refusals[_refused_by(event)] += event.count or 1

    def order(event: Event) -> tuple[int, str]:
        return refusals[_refused_by(event)], event.last_timestamp or ""

    last = max(events, key=order)
    return PodFailure(_refused_by(last), last.message)


def failure_of_start(event: Event) -> PodFailure:
    """Return the pod failure by an Event with a reason of POD_EVENT_REASONS.

    The Event says why no node took the pod, or why the kubelet did not start the container (pkg/kubelet/images,
    pkg/kubelet/kuberuntime).
    """
    if event.reason == _FAILED_SCHEDULING:
        return PodFailure(Reason.NO_NODE, event.message)
    image = event.message.startswith("Failed to pull image") or event.message.removeprefix("Error: ") in _IMAGE
    return PodFailure(Reason.IMAGE if image else Reason.NOT_STARTED, event.message)


def how_telling(event: Event) -> tuple[bool, bool, int, int]:
    """Return a sort key for Events of POD_EVENT_REASONS: the most telling Event comes last.

    An Event after scheduling tells more than a FailedScheduling. Words tell more than a code. A frequent Event tells
    more than a rare Event, because a rare Event may be a passing state of the kubelet
    (pkg/kubelet/util/manager/watch_based_manager.go, Get).
    """
    in_words = " " in event.message.removeprefix("Error: ")
    return event.reason != _FAILED_SCHEDULING, in_words, event.count or 1, len(event.message)


def _refused_by(event: Event) -> Reason:
    return Reason.CAPACITY if any(words in event.message for words in _QUOTA) else Reason.REFUSED


def _failure_of_container(container: ContainerStatus) -> PodFailure | None:
    for state in (container.state, container.last_state):
        if waiting := state.waiting:
            if waiting.reason in _IMAGE:
                return PodFailure(Reason.IMAGE, _quote(waiting))
            if waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
                return PodFailure(Reason.NOT_STARTED, _quote(waiting))
        if state.terminated:
            return _failure_of_end(state.terminated)
    return None


def _failure_before_tick(name: str, failure: PodFailure) -> PodFailure:
    """Return the failure of an init container, which kept the tick from starting. Its exit code is not a tick's."""
    reason = Reason.POD_FAILED if failure.reason is Reason.DATABASE else failure.reason
    return PodFailure(reason, f"container {name}: {failure.detail}")


def _failure_of_end(ended: Terminated) -> PodFailure | None:
    code = ended.exit_code
    if ended.reason == "OOMKilled":
        return PodFailure(Reason.OUT_OF_MEMORY, "the container was killed", code)
    if ended.reason in ("StartError", "ContainerCannotRun"):
        return PodFailure(Reason.NOT_STARTED, _quote(ended))
    if code in (ExitCode.AGAIN, ExitCode.NOT_PERMITTED):
        return PodFailure(Reason.DATABASE, f"exit code {code}", code)
    return PodFailure(Reason.POD_FAILED, f"exit code {code}", code) if code else None


def _condition(status: PodStatus, kind: str, value: str) -> Condition | None:
    return next((item for item in status.conditions if (item.type, item.status) == (kind, value)), None)


def _quote(said: Condition | PodStatus | Terminated | Waiting) -> str:
    return ": ".join(filter(None, (said.reason, said.message)))
