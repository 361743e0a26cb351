"""ledger/job_cleanup.py on a real API server: which Jobs are deleted, and which Jobs stay."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from region_operator.kube.connect import connect
from region_operator.ledger.job_cleanup import OVERDUE, JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_tick.contract import Reason
from tests.cluster.jobs import create, create_pod, create_unseen, end, pod_of
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_operator.kube.api import Api
    from tests.harness.kubectl import Kubectl


HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _cluster(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))


def set_clock(api: Api, now: datetime) -> None:
    """Have the API server's clock be believed to say `now`, until the next answer comes."""
    api.clock.observe(now, resolution=0, sent=api.clock.monotonic())


async def test_only_a_job_beyond_its_deadline_is_deleted_and_its_pods_with_it(kubectl: Kubectl) -> None:
    create(kubectl, "stuck")
    pod_of(kubectl, "stuck")
    now = datetime.now(UTC)
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        set_clock(api, now + HOUR)
        await JobCleanup(api, job_watch).delete_overdue(kubectl.namespace)
        assert kubectl.get("jobs")["items"]
        set_clock(api, now + HOUR + 2 * OVERDUE)
        await JobCleanup(api, job_watch).delete_overdue(kubectl.namespace)
        eventually(lambda: not kubectl.get("jobs")["items"] and not kubectl.get("pods")["items"], what="both are gone")
        create(kubectl, "stuck")  # another of the same name, which was never looked at
        set_clock(api, now + HOUR + 2 * OVERDUE)
        await JobCleanup(api, job_watch).delete_overdue(kubectl.namespace)
        assert kubectl.get("jobs")["items"]


async def test_without_an_answer_that_shows_the_time_nothing_is_overdue_and_each_answer_shows_it(
    kubectl: Kubectl,
) -> None:
    create(kubectl, "at-work")
    async with connect("test") as looking, connect("test") as api:
        job_watch = JobWatch(looking)
        await job_watch.catch_up(kubectl.namespace)
        assert (now := looking.clock.now()) is not None
        assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
        assert api.clock.now() is None
        await JobCleanup(api, job_watch).delete_overdue(kubectl.namespace)
    assert kubectl.get("jobs")["items"]


async def test_only_jobs_that_wait_for_their_first_pod_are_known_to_wait_and_each_goes_alone(kubectl: Kubectl) -> None:
    for name in ("at-work", "again"):
        create(kubectl, name)
    end(kubectl, "again", "Failed", 75)
    for name in ("waiting", "of-another-tick"):
        create(kubectl, name, priorityClassName="no-such-class")
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        waiting = {job.name: job for job in job_watch.jobs.waiting()}
        assert waiting.keys() == {"waiting", "of-another-tick"}
        await JobCleanup(api, job_watch).delete_waiting([waiting["waiting"]], kubectl.namespace)
    eventually(lambda: "waiting" not in kubectl("get", "jobs", "--output", "name"), what="it is gone")
    left = {job["metadata"]["name"] for job in kubectl.get("jobs")["items"]}
    assert left == {"at-work", "again", "of-another-tick"}


async def test_a_job_that_its_controller_did_not_come_to_in_time_is_deleted_and_no_other(kubectl: Kubectl) -> None:
    tick = f"r1-{int(datetime.now(UTC).timestamp()) // 60}"
    create_unseen(kubectl, tick, start_deadline=600)
    create_unseen(kubectl, "by-hand", start_deadline=600)
    create(kubectl, tick.replace("r1", "r2"))
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        cleanup = JobCleanup(api, job_watch)
        set_clock(api, datetime.now(UTC) + timedelta(minutes=9))
        await cleanup.delete_expired(kubectl.namespace)
        assert len(kubectl.get("jobs")["items"]) == 3
        set_clock(api, datetime.now(UTC) + timedelta(minutes=11))
        await cleanup.delete_expired(kubectl.namespace)
    eventually(lambda: tick not in kubectl("get", "jobs", "--output", "name"), what="it is gone")
    assert len(kubectl.get("jobs")["items"]) == 2


async def test_a_job_stays_that_has_a_pod_although_its_controller_did_not_write_so_yet(kubectl: Kubectl) -> None:
    """The Job controller makes the pod before it writes startTime."""
    minute = int(datetime.now(UTC).timestamp()) // 60
    with_pod, without = f"r1-{minute}", f"r2-{minute}"
    for name in (with_pod, without):
        create_unseen(kubectl, name, start_deadline=600)
    create_pod(kubectl, with_pod)
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        set_clock(api, datetime.now(UTC) + timedelta(minutes=11))
        await JobCleanup(api, job_watch).delete_expired(kubectl.namespace)
    eventually(lambda: without not in kubectl("get", "jobs", "--output", "name"), what="the other is gone")
    assert "deletionTimestamp" not in kubectl.get("job", with_pod)["metadata"]


async def test_a_job_that_changed_since_it_was_seen_is_looked_at_again_first(kubectl: Kubectl) -> None:
    create(kubectl, "waiting", priorityClassName="no-such-class")
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        kubectl("annotate", "job", "waiting", "changed=meanwhile")
        await JobCleanup(api, job_watch).delete_waiting(job_watch.jobs.waiting(), kubectl.namespace)
        assert "deletionTimestamp" not in kubectl.get("job", "waiting")["metadata"]
        await job_watch.catch_up(kubectl.namespace)
        await JobCleanup(api, job_watch).delete_waiting(job_watch.jobs.waiting(), kubectl.namespace)
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
        job_watch = JobWatch(api)
        cleanup = JobCleanup(api, job_watch)
        for _ in range(2):
            await job_watch.catch_up(kubectl.namespace)
            await cleanup.delete_waiting(job_watch.jobs.waiting(), kubectl.namespace)
        eventually(lambda: len(kubectl.get("jobs")["items"]) == 1, what="the other is gone")
        [line] = [record for record in caplog.records if record.levelname == "WARNING"]
        assert (line.message, "no deletes" in vars(line)["error"]) == ("jobs not deleted", True)
        kubectl("delete", "validatingadmissionpolicybinding", kubectl.namespace)
        eventually(lambda: not kubectl.fails("delete", "job", "kept", "--dry-run=server"), what="they are let through")
        await job_watch.catch_up(kubectl.namespace)
        await cleanup.delete_waiting(job_watch.jobs.waiting(), kubectl.namespace)
    eventually(lambda: not kubectl.get("jobs")["items"], what="both are gone")


async def test_what_kept_a_job_beyond_its_deadline_is_seen_before_it_goes(kubectl: Kubectl) -> None:
    create(kubectl, "lost")
    [pod] = eventually(lambda: kubectl.get("pods")["items"], what="a pod")
    patch = json.dumps({"status": {"reason": "NodeLost"}})
    kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", f"--patch={patch}")
    async with connect("test") as api:
        job_watch, now = JobWatch(api), datetime.now(UTC)
        await job_watch.catch_up(kubectl.namespace)
        set_clock(api, now + 2 * HOUR)
        await JobCleanup(api, job_watch).delete_overdue(kubectl.namespace)
    assert kubectl.get("jobs")["items"] == []
    assert (failure := job_watch.jobs.failure_of("lost")) is not None
    assert failure.reason is Reason.NODE_LOST
