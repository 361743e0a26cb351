"""console.cluster: what the console reads from objects of the API server, also from odd ones."""

from __future__ import annotations

from datetime import UTC, datetime

from kubernetes.aio.client import ApiException

from region_operator.console.cluster import describe_error, read_cronjob, read_event, read_job, read_pod
from region_operator.kube.api import ApiUnavailableError

AT = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
META = {"name": "r1", "uid": "u", "creationTimestamp": "2026-11-30T12:00:00Z"}


def test_a_cronjob_tells_who_changed_it_and_who_paused_it() -> None:
    annotations = {
        "region-tick.dev/paused": "true",
        "region-tick.dev/paused-by": "ann",
        "region-tick.dev/paused-reason": "tired",
        "region-tick.dev/paused-since": "2026-11-30T12:00:00Z",
        "region-tick.dev/paused-until": "tomorrow",
    }
    entries = [
        {"manager": "region-operator", "time": "2026-11-29T12:00:00Z"},
        {"manager": "kube-controller-manager", "subresource": "status", "time": "2026-11-30T12:00:00Z"},
        {"manager": "old"},
        {"manager": "kubectl", "time": "2026-11-30T12:00:00Z"},
    ]
    seen = read_cronjob({"metadata": META | {"annotations": annotations, "managedFields": entries}, "spec": {}})
    assert [manager for manager, _ in seen.managers] == ["kubectl", "region-operator", "old"]
    assert (seen.paused, seen.paused_by, seen.paused_reason) == (True, "ann", "tired")
    assert (seen.paused_since, seen.paused_until) == (AT, None)
    assert read_cronjob({"metadata": META, "spec": {"suspend": True}}).suspended


def test_a_job_tells_how_it_ended() -> None:
    assert read_job({"metadata": META}).end == ""
    conditions = [
        {"type": "FailureTarget", "status": "True"},
        {
            "type": "Failed",
            "status": "True",
            "reason": "DeadlineExceeded",
            "lastTransitionTime": META["creationTimestamp"],
        },
    ]
    ended = read_job({"metadata": META, "status": {"conditions": conditions}})
    assert (ended.failed, ended.ended, ended.end) == (True, AT, "Failed: DeadlineExceeded")


def test_a_pod_tells_what_is_wrong_with_it_and_nothing_while_all_is_well() -> None:
    def trouble(**status: object) -> str:
        return read_pod({"metadata": META, "spec": {"nodeName": "n"}, "status": {"phase": "Pending", **status}}).trouble

    waiting = {"name": "tick", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no\nimage"}}}
    killed = {
        "name": "tick",
        "state": {"running": {}},
        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
    }
    assert trouble(containerStatuses=[waiting]) == "container tick: ImagePullBackOff, no image"
    assert trouble(containerStatuses=[killed]) == "container tick: OOMKilled, exit code 137"
    assert trouble(reason="Evicted", message="disk") == "Evicted: disk"
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert trouble(conditions=[unscheduled]) == "Unschedulable: 0/3 nodes"
    assert trouble(conditions=[{"type": "PodScheduled", "status": "True"}]) == ""
    assert trouble(containerStatuses=[{"name": "tick", "state": {"waiting": {"reason": "ContainerCreating"}}}]) == ""
    done = {"name": "tick", "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}
    assert trouble(containerStatuses=[done]) == ""
    assert read_pod({"metadata": META, "spec": {}}).phase == "Unknown"


def test_an_event_of_either_kind() -> None:
    about = {"kind": "Pod", "name": "p"}
    old = read_event(
        {
            "metadata": META,
            "involvedObject": about,
            "reason": "Failed",
            "message": "a\n b",
            "type": "Warning",
            "count": 3,
            "lastTimestamp": "2026-11-30T12:00:00Z",
        }
    )
    assert (old.at, old.about, old.message, old.count, old.warning) == (AT, "Pod p", "a b", 3, True)
    new = read_event(
        {
            "metadata": META,
            "involvedObject": about,
            "lastTimestamp": None,
            "message": None,
            "eventTime": "2026-11-30T12:00:00.000000Z",
            "count": None,
            "series": None,
            "type": "Normal",
        }
    )
    assert (new.at, new.message, new.count, new.warning) == (AT, "", 1, False)


def test_an_api_server_that_gives_no_answer() -> None:
    assert describe_error(ApiUnavailableError("https://10.0.0.1:443 timed out")) == "the API server does not answer"
    assert "403" in describe_error(ApiException(status=403, reason="Forbidden"))
