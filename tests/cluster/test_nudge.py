"""kube/nudge.py with the real quota and the real Job controller. No kubelet runs: the test ends the pods."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import QUOTA_NAME
from region_operator.kube.connect import connect
from region_operator.kube.nudge import Nudger
from region_tick.contract import Variable
from tests.harness.audit import audit_lines, sent_by
from tests.harness.clock import Clock
from tests.harness.regions import numbered
from tests.harness.waiting import eventually
from tests.harness.waiting_jobs import job as job_of_a_tick

if TYPE_CHECKING:
    import pytest

    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SLOTS = 2
REGIONS = 5


def test_a_free_slot_goes_to_the_oldest_tick(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    add_regions(numbered(0, REGIONS - 1))
    with run_operator(CONCURRENCY=str(SLOTS)):
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="CronJobs")
        eventually(lambda: kubectl.get("resourcequotas")["items"][0].get("status", {}).get("used"), what="the quota")
        mark = control_plane.audit_log.stat().st_size
        minute = int(time.time()) // 60 + REGIONS  # none of them too late yet, and none in the course of the test
        for number in range(REGIONS):
            start_tick(kubectl, f"R{number}", minute - number)
        eventually(lambda: len(pods(kubectl)) == SLOTS, what="the slots are taken")
        eventually(lambda: all_looked_at(kubectl), what="the others wait")
        for done in range(REGIONS):
            running = pods(kubectl)
            assert len(running) <= SLOTS
            end(kubectl, running[0])
            expect_pods(kubectl, min(SLOTS, REGIONS - done - 1))
    nudges = nudges_since(control_plane, kubectl, mark)
    assert nudges
    assert {line["verb"] for line in nudges} == {"patch"}
    served = {pod["metadata"]["labels"]["job-name"]: created(pod) for pod in kubectl.get("pods")["items"]}
    assert len(served) == REGIONS
    for position, nudge in enumerate(nudges):
        name, at = nudge["objectRef"]["name"], datetime.fromisoformat(nudge["stageTimestamp"])
        before = {line["objectRef"]["name"] for line in nudges[:position]}
        waited = {job for job in served if minute_of(job) < minute_of(name) and served[job] > at}
        assert waited <= before, "the older ones had been hurried already"


def test_a_new_operator_nudges_the_region_first_that_started_longest_ago(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    """It has seen no start, but the CronJobs' last successes. By the alphabet the other region would go first."""
    add_regions(["A", "B", "C"])
    minute = int(time.time()) // 60
    with run_operator(CONCURRENCY="1") as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 3, what="CronJobs")
        successes = [success_of_a_tick(kubectl, region, minute - 1) for region in ("C", "A")]
        assert successes == sorted(set(successes))
        start_tick(kubectl, "B", minute)
        expect_pods(kubectl, 1)
        assert operator.stop() == 0
    mark = control_plane.audit_log.stat().st_size
    with run_operator(CONCURRENCY="1") as operator:
        eventually(lambda: operator.reconciles, what="the new operator leads")
        jobs = [start_tick(kubectl, region, minute + 1) for region in ("A", "C")]
        eventually(lambda: all_looked_at(kubectl), what="both wait")
        for number in (1, 1, 0):
            end(kubectl, pods(kubectl)[0])
            expect_pods(kubectl, number)
    nudged = [line["objectRef"]["name"] for line in nudges_since(control_plane, kubectl, mark)]
    assert nudged
    first, last = (pod_of(kubectl, job)["metadata"]["creationTimestamp"] for job in reversed(jobs))
    assert nudged[0] == jobs[1] or first <= last, "C had gone first by itself"
    for job in {*nudged}:
        found = kubectl.get("job", job)
        assert found["metadata"]["generation"] > 1, "the spec changed, so its controller looked at it at once"
        assert found["spec"]["ttlSecondsAfterFinished"] == 86_400 + nudged.count(job)


def success_of_a_tick(kubectl: Kubectl, region: str, minute: int) -> str:
    """Let a tick succeed; return the time of the success as the CronJob controller wrote it, a second of its own."""
    began = int(time.time())
    eventually(lambda: int(time.time()) > began, what="a new second")
    start_tick(kubectl, region, minute)
    expect_pods(kubectl, 1)
    end(kubectl, pods(kubectl)[0])
    status: dict[str, str] = eventually(
        lambda: (found := kubectl.cronjobs()[region].get("status", {})).get("lastSuccessfulTime") and found,
        what="the CronJob controller has seen it",
    )
    return status["lastSuccessfulTime"]


def nudges_since(control_plane: LocalCluster, kubectl: Kubectl, mark: int) -> list[dict[str, Any]]:
    """Return the operators' requests that changed Jobs."""
    lines = audit_lines(control_plane, kubectl.namespace, since=mark)
    return [line for line in lines if sent_by(line) and line["objectRef"]["resource"] == "jobs"]


def pod_of(kubectl: Kubectl, job: str) -> dict[str, Any]:
    [pod] = kubectl.get("pods", "--selector", f"batch.kubernetes.io/job-name={job}")["items"]
    found: dict[str, Any] = pod
    return found


def expect_pods(kubectl: Kubectl, count: int) -> None:
    eventually(lambda: len(pods(kubectl)) == count, what=f"{count} pods")


def minute_of(job: str) -> int:
    return int(job.rpartition("-")[2])


def created(pod: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])


async def test_who_is_gone_without_an_event_is_nudged_no_more(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    clock = Clock(time.time() - 60)
    nudger = Nudger(wall_clock=clock)
    minute = int(time.time()) // 60
    environment = [{"name": Variable.START_DEADLINE_SECONDS, "value": "300"}]
    for failed in (0, 1):
        nudger.observe_job(job_of_a_tick(f"gone{failed}-{minute}", environment=environment, failed=failed))
    full = {"hard": {"pods": "4"}, "used": {"pods": "0"}}
    nudger.observe_quota({"metadata": {"name": QUOTA_NAME}, "status": full}, deleted=False)
    clock.now += 60  # the back-off from the failed pod is over
    assert len(nudger.choose_jobs()) == 2
    async with connect("test") as api:
        running = asyncio.create_task(nudger.run(api, kubectl.namespace))
        async with asyncio.timeout(20):
            while nudger.waiting:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
        running.cancel()


def start_tick(kubectl: Kubectl, code: str, minute: int) -> str:
    """Make the Job of a tick, as the CronJob controller does; return the Job's name."""
    cronjob = kubectl.cronjobs()[code]
    template, name = cronjob["spec"]["jobTemplate"], f"{cronjob['metadata']['name']}-{minute}"
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "controller": True}
    owner |= {key: cronjob["metadata"][key] for key in ("name", "uid")}
    meta = {"name": name, "labels": template["metadata"]["labels"], "ownerReferences": [owner]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]}
    kubectl("create", "-f", "-", stdin=json.dumps(job))
    return name


def pods(kubectl: Kubectl) -> list[str]:
    """Return the pods that have not ended, oldest first."""
    items = kubectl.get("pods", "--field-selector=status.phase=Pending", "--sort-by=.metadata.creationTimestamp")
    return [item["metadata"]["name"] for item in items["items"]]


def all_looked_at(kubectl: Kubectl) -> bool:
    return all("startTime" in job.get("status", {}) for job in kubectl.get("jobs")["items"])


def end(kubectl: Kubectl, pod: str) -> None:
    """Let a pod end well, as its kubelet would say."""
    patch = {"status": {"phase": "Succeeded"}}
    kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "--patch", json.dumps(patch))
