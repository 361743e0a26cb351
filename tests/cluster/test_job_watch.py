"""witness.py on a real API server: what Jobs, pods and Events tell, and the end of a Job that outlived its deadline."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.kube.api import Api, connect
from region_operator.ledger.job_cache import Job, JobState
from region_operator.ledger.job_cleanup import OVERDUE, JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_tick.contract import Reason
from tests.cluster.jobs import create
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.kubectl import Kubectl

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _cluster(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))


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
    kubectl("wait", f"job/{name}", f"--for=condition={condition}", "--timeout=30s")


async def test_only_a_job_beyond_its_deadline_is_deleted_and_its_pods_with_it(kubectl: Kubectl) -> None:
    create(kubectl, "stuck")
    pod_of(kubectl, "stuck")
    now = datetime.now(UTC)
    async with connect("test") as api:
        witness = JobWatch(api)
        await witness.look(kubectl.namespace, now)
        await JobCleanup(api, witness).delete_overdue(kubectl.namespace, now + HOUR)
        assert kubectl.get("jobs")["items"]
        await JobCleanup(api, witness).delete_overdue(kubectl.namespace, now + HOUR + 2 * OVERDUE)
        eventually(lambda: not kubectl.get("jobs")["items"] and not kubectl.get("pods")["items"], what="both are gone")
        create(kubectl, "stuck")  # another of the same name, which was never looked at
        await JobCleanup(api, witness).delete_overdue(kubectl.namespace, now + HOUR + 2 * OVERDUE)
        assert kubectl.get("jobs")["items"]


async def test_only_jobs_that_wait_for_their_first_pod_are_known_to_wait_and_each_goes_alone(kubectl: Kubectl) -> None:
    for name in ("at-work", "again"):
        create(kubectl, name)
    end(kubectl, "again", "Failed", 75)
    for name in ("waiting", "of-another-tick"):
        create(kubectl, name, priorityClassName="no-such-class")
    async with connect("test") as api:
        witness = JobWatch(api)
        await witness.look(kubectl.namespace, datetime.now(UTC))
        waiting = {job.name: job for job in witness.jobs.waiting()}
        assert waiting.keys() == {"waiting", "of-another-tick"}
        await JobCleanup(api, witness).delete_waiting([waiting["waiting"]], kubectl.namespace)
    eventually(lambda: "waiting" not in kubectl("get", "jobs", "--output", "name"), what="it is gone")
    left = {job["metadata"]["name"] for job in kubectl.get("jobs")["items"]}
    assert left == {"at-work", "again", "of-another-tick"}


async def test_a_job_that_changed_since_it_was_seen_is_looked_at_again_first(kubectl: Kubectl) -> None:
    create(kubectl, "waiting", priorityClassName="no-such-class")
    async with connect("test") as api:
        witness = JobWatch(api)
        await witness.look(kubectl.namespace, datetime.now(UTC))
        kubectl("annotate", "job", "waiting", "changed=meanwhile")
        await JobCleanup(api, witness).delete_waiting(witness.jobs.waiting(), kubectl.namespace)
        assert "deletionTimestamp" not in kubectl.get("job", "waiting")["metadata"]
        await witness.look(kubectl.namespace, datetime.now(UTC))
        await JobCleanup(api, witness).delete_waiting(witness.jobs.waiting(), kubectl.namespace)
    eventually(lambda: not kubectl.get("jobs")["items"], what="it is gone")


NO_DELETES = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {namespace}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
    resourceRules: [{{apiGroups: [batch], apiVersions: [v1], operations: [DELETE], resources: [jobs]}}]
  validations: [{{expression: "oldObject.metadata.name != 'kept'", message: no deletes}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {namespace}}}
spec: {{policyName: {namespace}, validationActions: [Deny]}}
"""


@pytest.fixture
def no_deletes(kubectl: Kubectl) -> Iterator[str]:
    """Objects that refuse to let Job `kept` be deleted, to be created by the test."""
    yield NO_DELETES.format(namespace=kubectl.namespace)
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        kubectl("delete", kind, kubectl.namespace, "--ignore-not-found")


async def test_one_that_cannot_be_deleted_holds_up_nothing_is_told_once_and_tried_again(
    kubectl: Kubectl, no_deletes: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("kept", "waiting"):
        create(kubectl, name, priorityClassName="no-such-class")
    kubectl("create", "-f", "-", stdin=no_deletes)
    eventually(
        lambda: "no deletes" in kubectl.fails("delete", "job", "kept", "--dry-run=server"), what="deletes are refused"
    )
    async with connect("test") as api:
        witness = JobWatch(api)
        for _ in range(2):
            await witness.look(kubectl.namespace, datetime.now(UTC))
            await JobCleanup(api, witness).delete_waiting(witness.jobs.waiting(), kubectl.namespace)
        eventually(lambda: len(kubectl.get("jobs")["items"]) == 1, what="the other is gone")
        [told] = [record for record in caplog.records if record.levelname == "WARNING"]
        assert (told.message, "no deletes" in vars(told)["error"]) == ("jobs not deleted", True)
        kubectl("delete", "validatingadmissionpolicybinding", kubectl.namespace)
        eventually(lambda: not kubectl.fails("delete", "job", "kept", "--dry-run=server"), what="they are let through")
        await witness.look(kubectl.namespace, datetime.now(UTC))
        await JobCleanup(api, witness).delete_waiting(witness.jobs.waiting(), kubectl.namespace)
    eventually(lambda: not kubectl.get("jobs")["items"], what="both are gone")


async def test_each_job_is_found_as_it_is(kubectl: Kubectl) -> None:
    for name in ("active", "done", "failed", "deleted"):
        create(kubectl, name)
    end(kubectl, "done", "Succeeded", 0)
    async with connect("test") as api:
        witness = JobWatch(api)
        await witness.look(kubectl.namespace, datetime.now(UTC))
        kubectl("delete", "job", "deleted")
        end(kubectl, "failed", "Failed", 75)
        await witness.look(kubectl.namespace, datetime.now(UTC))
        names = ["active", "done", "failed", "deleted", "unknown"]
        for asked in (names, [*names, *(f"none-{number}" for number in range(300))]):
            found = await witness.find(asked, kubectl.namespace)
            assert {name: job.state for name, job in found.items()} == {
                "active": JobState.ACTIVE,
                "done": JobState.COMPLETE,
                "failed": JobState.FAILED,
                "deleted": JobState.GONE,
            }


class Counting(Api):
    """Counts the times that pods are asked for."""

    asked = 0

    async def request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        self.asked += "/pods" in path
        return await super().request(method, path, **arguments)


async def test_jobs_that_fail_at_once_are_looked_at_together(kubectl: Kubectl) -> None:
    names = [f"again-{number}" for number in range(5)]
    for name in names:
        create(kubectl, name)
        end(kubectl, name, "Failed", 75)
    jobs = [kubectl.get("job", name) for name in names]
    assert {Job.from_object(job).state for job in jobs} == {JobState.FAILED}
    async with connect("test") as api:
        counting = Counting(api._client)
        witness = JobWatch(counting)
        for job in [*jobs, *jobs]:
            witness.observe(job, deleted=False)
        running = asyncio.create_task(witness.run(kubectl.namespace))
        await asyncio.to_thread(eventually, lambda: all(map(witness.jobs.failure_of, names)), what="all are seen")
        running.cancel()
    assert {trouble.reason for name in names if (trouble := witness.jobs.failure_of(name))} == {Reason.DATABASE}
    assert counting.asked == 1


async def test_what_troubles_a_job_is_seen(kubectl: Kubectl) -> None:
    create(kubectl, "refused", priorityClassName="no-such-class")
    kubectl("create", "quota", "pods", "--hard=pods=0")
    eventually(lambda: kubectl.get("quota", "pods")["status"].get("used"), what="the quota counts")
    create(kubectl, "waiting")

    def refused() -> bool:
        events = kubectl.get("events", "--field-selector", "reason=FailedCreate")["items"]
        return {event["involvedObject"]["name"] for event in events} >= {"refused", "waiting"}

    eventually(refused, what="both were refused a pod")
    async with connect("test") as api:
        witness = JobWatch(api)
        await witness.look(kubectl.namespace, datetime.now(UTC))
        jobs = await witness.find(["refused", "waiting"], kubectl.namespace)
        await witness.look_for_failures(jobs.values(), kubectl.namespace)
        found = {name: witness.jobs.failure_of(name) for name in ("refused", "waiting")}
    assert {name: trouble.reason for name, trouble in found.items() if trouble} == {
        "refused": Reason.REFUSED,
        "waiting": Reason.CAPACITY,
    }


async def test_what_refused_a_jobs_pods_most_often_is_its_trouble(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "pods", "--hard=pods=0")
    create(kubectl, "waiting")
    of_events = ("events", "--field-selector", "reason=FailedCreate")
    eventually(lambda: len(kubectl.get(*of_events)["items"]) > 1, what="it was refused a pod twice")
    once = kubectl.get(*of_events)["items"][-1]
    once["metadata"] = {"name": "zzz"}  # listed last
    once["message"] = 'Internal error occurred: failed calling webhook "a.b.c": context deadline exceeded'
    kubectl("create", "-f", "-", stdin=json.dumps(once))
    async with connect("test") as api:
        witness = JobWatch(api)
        await witness.look(kubectl.namespace, datetime.now(UTC))
        await witness.look_for_failures(witness.jobs.waiting(), kubectl.namespace)
    assert (trouble := witness.jobs.failure_of("waiting")) is not None
    assert trouble.reason is Reason.CAPACITY


async def test_what_kept_a_job_beyond_its_deadline_is_seen_before_it_goes(kubectl: Kubectl) -> None:
    create(kubectl, "lost")
    [pod] = eventually(lambda: kubectl.get("pods")["items"], what="a pod")
    patch = json.dumps({"status": {"reason": "NodeLost"}})
    kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", f"--patch={patch}")
    async with connect("test") as api:
        witness, now = JobWatch(api), datetime.now(UTC)
        await witness.look(kubectl.namespace, now)
        await JobCleanup(api, witness).delete_overdue(kubectl.namespace, now + timedelta(hours=2))
    assert kubectl.get("jobs")["items"] == []
    assert (trouble := witness.jobs.failure_of("lost")) is not None
    assert trouble.reason is Reason.NODE_LOST
