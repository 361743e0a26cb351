"""Creates Jobs, and ends Jobs, as controllers and kubelets do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from region_tick.contract import Variable
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.kubectl import Kubectl


def create_cronjob(kubectl: Kubectl, name: str, *, failed_jobs_history_limit: int) -> dict[str, Any]:
    """Create a suspended CronJob; return the owner reference of its Jobs."""
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "tick", "image": "none"}]}}}
    spec = {
        "schedule": "* * * * *",
        "suspend": True,
        "failedJobsHistoryLimit": failed_jobs_history_limit,
        "jobTemplate": {"spec": job},
    }
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    uid = kubectl.get("cronjob", name)["metadata"]["uid"]
    return {"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": uid, "controller": True}


def create(kubectl: Kubectl, name: str, *, owner: dict[str, Any] | None = None, **pod: Any) -> None:
    """Create a Job as the CronJob controller creates a tick's Job, and wait until the Job controller has synced it."""
    create_job(kubectl, name, owner=owner, pod=pod)
    eventually(lambda: "startTime" in kubectl.get("job", name)["status"], what="its controller has seen it")


def create_unseen(kubectl: Kubectl, name: str, *, start_deadline: int | None = None) -> None:
    """Create a Job that the Job controller never looks at (spec.managedBy; Kubernetes 1.32). `start_deadline` is what
    the tick is told, in seconds.
    """
    told = [{"name": Variable.START_DEADLINE_SECONDS, "value": str(start_deadline)}] if start_deadline else []
    containers = [{"name": "tick", "image": "none", "env": told}]
    create_job(kubectl, name, pod={"containers": containers}, managedBy="example.com/nobody")


def create_job(
    kubectl: Kubectl,
    name: str,
    *,
    owner: dict[str, Any] | None = None,
    pod: dict[str, Any] | None = None,
    **spec: Any,
) -> None:
    """Create a Job. `pod` is added to the pod's spec, `spec` to the Job's."""
    labels = {"app": "region-tick", "region-tick.dev/region": "0123456789ab"}
    pod_spec = {"restartPolicy": "Never", "containers": [{"name": "tick", "image": "none"}]} | (pod or {})
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner] if owner else []},
        "spec": {
            "activeDeadlineSeconds": 3600,
            "backoffLimit": 0,
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
            **spec,
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(job))


def create_pod(kubectl: Kubectl, job: str) -> None:
    """Create a pod of a Job, as the Job controller does before it writes anything into the Job."""
    spec = {"restartPolicy": "Never", "containers": [{"name": "tick", "image": "none"}]}
    metadata = {"name": f"{job}-abcde", "labels": {"batch.kubernetes.io/job-name": job}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(pod))


def pod_of(kubectl: Kubectl, name: str) -> str:
    pods = eventually(
        lambda: kubectl.get("pods", "--selector", f"batch.kubernetes.io/job-name={name}")["items"], what="its pod"
    )
    return str(pods[0]["metadata"]["name"])


def end(kubectl: Kubectl, name: str, phase: str, code: int) -> None:
    """Report the end of a Job's pod as a kubelet does."""
    container = {"name": "tick", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
    status = {"phase": phase, "containerStatuses": [container | {"state": {"terminated": {"exitCode": code}}}]}
    patch = json.dumps({"status": status})
    kubectl("patch", "pod", pod_of(kubectl, name), "--subresource", "status", "--type", "merge", "--patch", patch)
    condition = {"Succeeded": "Complete", "Failed": "Failed"}[phase]
    kubectl("wait", f"job/{name}", f"--for=condition={condition}", "--timeout=60s")
