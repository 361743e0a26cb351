"""What kept a pod from doing its tick: read from the pod, and from the Events of a pod or a Job. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import CONTAINER
from region_tick.contract import ExitCode, Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_FAILED_SCHEDULING = "FailedScheduling"
PODS_EVENTS = ("Failed", _FAILED_SCHEDULING)
"""The reasons of Events of pods that did not start; a pod that is deleted no longer says why, or is gone at once."""
_STAYS_PENDING = "its pod stays pending"
_QUOTA = ("exceeded quota", "status unknown for quota", "cannot be fulfilled on resourcequotas")
"""What the quota says: it is full, was not counted yet, or many asked it at once
(k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go, CheckRequest, checkQuotas)."""
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})


@dataclass(frozen=True, slots=True)
class PodFailure:
    """What kept a Job's pods from doing their tick, with its own words."""

    reason: Reason
    detail: str

    @property
    def vague(self) -> bool:
        """Whether others may know more: a pod whose end is near no longer says why it did not start."""
        return self.detail == _STAYS_PENDING


def failure_of_pod(pod: Mapping[str, Any]) -> PodFailure | None:
    """Return what keeps a pod from doing its tick, None where nothing can be seen."""
    status = pod.get("status", {})
    disrupted = _condition(status, "DisruptionTarget", "True")
    if disrupted or status.get("reason") in ("Evicted", "NodeLost", "Preempting"):
        about = disrupted or status
        return PodFailure(Reason.NODE_LOST, _words(about))
    for container in status.get("containerStatuses", []):
        if container["name"] == CONTAINER and (found := _trouble_of_container(container)):
            return found
    unscheduled = _condition(status, "PodScheduled", "False")
    if unscheduled:
        return PodFailure(Reason.NO_NODE, _words(unscheduled))
    if status.get("phase") == "Pending":
        return PodFailure(Reason.NOT_STARTED, _STAYS_PENDING)
    return None


def failure_of_refusals(events: Collection[Mapping[str, Any]]) -> PodFailure:
    """Read the Events FailedCreate of one Job, one at least: whether it was the quota that refused its pods more often,
    or something else; of both as often, what did so last. The quota's name a pod each, so the same words come in many
    Events.
    """
    said: Counter[Reason] = Counter()
    for event in events:
        said[_refused_by(event)] += _times_said(event)

    def order(event: Mapping[str, Any]) -> tuple[int, str]:
        return said[_refused_by(event)], event.get("lastTimestamp") or ""

    last = max(events, key=order)
    return PodFailure(_refused_by(last), last.get("message", ""))


def failure_of_start(event: Mapping[str, Any]) -> PodFailure:
    """Read one of PODS_EVENTS: what kept a pod from being scheduled, or the kubelet from starting its container
    (pkg/kubelet/images, pkg/kubelet/kuberuntime).
    """
    message: str = event.get("message", "")
    if event["reason"] == _FAILED_SCHEDULING:
        return PodFailure(Reason.NO_NODE, message)
    image = message.startswith("Failed to pull image") or message.removeprefix("Error: ") in _IMAGE
    return PodFailure(Reason.IMAGE if image else Reason.NOT_STARTED, message)


def how_telling(event: Mapping[str, Any]) -> tuple[bool, bool, int, int]:
    """Order PODS_EVENTS: what came after scheduling tells more, words more than a code, and more what was said more
    often, which is no passing state of the kubelet (pkg/kubelet/util/manager/watch_based_manager.go, Get).
    """
    message: str = event.get("message", "")
    in_words = " " in message.removeprefix("Error: ")
    return event["reason"] != _FAILED_SCHEDULING, in_words, _times_said(event), len(message)


def _refused_by(event: Mapping[str, Any]) -> Reason:
    message: str = event.get("message", "")
    return Reason.CAPACITY if any(words in message for words in _QUOTA) else Reason.REFUSED


def _times_said(event: Mapping[str, Any]) -> int:
    return event.get("count") or 1


def _trouble_of_container(container: Mapping[str, Any]) -> PodFailure | None:
    states = [container.get("state", {}), container.get("lastState", {})]
    for state in states:
        if waiting := state.get("waiting"):
            reason = waiting.get("reason", "")
            if reason in _IMAGE:
                return PodFailure(Reason.IMAGE, _words(waiting))
            if reason not in ("", "ContainerCreating", "PodInitializing"):
                return PodFailure(Reason.NOT_STARTED, _words(waiting))
        if ended := state.get("terminated"):
            return _trouble_of_end(ended)
    return None


def _trouble_of_end(ended: Mapping[str, Any]) -> PodFailure | None:
    code = ended.get("exitCode", 0)
    if ended.get("reason") == "OOMKilled":
        return PodFailure(Reason.OUT_OF_MEMORY, "the container was killed")
    if ended.get("reason") in ("StartError", "ContainerCannotRun"):
        return PodFailure(Reason.NOT_STARTED, _words(ended))
    if code in (ExitCode.AGAIN, ExitCode.NOT_PERMITTED):
        return PodFailure(Reason.DATABASE, f"exit code {code}")
    return PodFailure(Reason.POD_FAILED, f"exit code {code}") if code else None


def _condition(status: Mapping[str, Any], kind: str, value: str) -> Mapping[str, Any] | None:
    for condition in status.get("conditions", []):
        if condition["type"] == kind and condition["status"] == value:
            found: Mapping[str, Any] = condition
            return found
    return None


def _words(about: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (about.get("reason", ""), about.get("message", ""))))
