"""ledger/job_watch.py on a real API server: which Jobs are found, and which pod failures."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.cronjobs.job import JobState
from region_operator.cronjobs.labels import QUOTA_NAME
from region_operator.kube.api import Api
from region_operator.kube.connect import connect
from region_operator.ledger.job_cleanup import JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_tick.contract import Reason
from tests.cluster.jobs import create, create_cronjob, end
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.kubectl import Kubectl


@pytest.fixture(autouse=True)
def _cluster(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))


async def test_each_job_is_found_as_it_is(kubectl: Kubectl) -> None:
    for name in ("active", "done", "failed", "deleted"):
        create(kubectl, name)
    end(kubectl, "done", "Succeeded", 0)
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        kubectl("delete", "job", "deleted")
        end(kubectl, "failed", "Failed", 75)
        await job_watch.catch_up(kubectl.namespace)
        names = ["active", "done", "failed", "deleted", "unknown"]
        for wanted in (names, [*names, *(f"none-{number}" for number in range(300))]):
            found = await job_watch.find(wanted, kubectl.namespace)
            assert {name: job.state for name, job in found.items()} == {
                "active": JobState.ACTIVE,
                "done": JobState.COMPLETE,
                "failed": JobState.FAILED,
                "deleted": JobState.GONE,
            }


class CountingApi(Api):
    """Counts the requests for pods and for lists of Jobs."""

    pod_requests = job_lists = 0

    async def request_bytes(self, method: str, path: str, **arguments: Any) -> bytes:
        self.pod_requests += "/pods" in path
        self.job_lists += path.endswith("/jobs")
        return await super().request_bytes(method, path, **arguments)


async def test_jobs_that_fail_at_once_are_looked_at_together(kubectl: Kubectl) -> None:
    names = [f"again-{number}" for number in range(5)]
    for name in names:
        create(kubectl, name)
        end(kubectl, name, "Failed", 75)
    async with connect("test") as api:
        counting = CountingApi(api._client)
        job_watch = JobWatch(counting)
        running = asyncio.create_task(job_watch.run(kubectl.namespace))
        await asyncio.to_thread(eventually, lambda: all(map(job_watch.jobs.failure_of, names)), what="all are seen")
        running.cancel()
        assert {job.state for job in (await job_watch.find(names, kubectl.namespace)).values()} == {JobState.FAILED}
    assert {failure.reason for name in names if (failure := job_watch.jobs.failure_of(name))} == {Reason.DATABASE}
    assert counting.pod_requests == 1


async def test_what_becomes_of_each_job_is_told_and_no_job_is_listed(kubectl: Kubectl) -> None:
    """Of a Job that was deleted its last state is known; a Job that succeeded leaves this watch in the same way."""
    states: dict[str, list[JobState]] = {}
    async with connect("test") as api:
        counting = CountingApi(api._client)
        job_watch = JobWatch(counting)
        job_watch.on_job = lambda job: states.setdefault(job.name, []).append(job.state)
        running = asyncio.create_task(job_watch.run(kubectl.namespace))
        await asyncio.sleep(0)  # the task begins
        await job_watch.catch_up(kubectl.namespace)
        before = counting.job_lists  # Kubernetes before 1.34 streams no list

        def told(name: str, state: JobState) -> bool:
            return states.get(name, [])[-1:] == [state]

        for name, ends in {"done": JobState.GONE, "failed": JobState.FAILED, "deleted": JobState.GONE}.items():
            await asyncio.to_thread(create, kubectl, name)
            if name == "deleted":
                await asyncio.to_thread(kubectl, "delete", "job", name)
            else:
                await asyncio.to_thread(end, kubectl, name, "Succeeded" if name == "done" else "Failed", 0)
            await asyncio.to_thread(eventually, partial(told, name, ends), what=f"the end of {name} is told")
        await job_watch.catch_up(kubectl.namespace)
        found = await job_watch.find(states, kubectl.namespace)
        running.cancel()
    assert {name: (job.state, job.had_pod) for name, job in found.items()} == {
        "done": (JobState.COMPLETE, True),
        "failed": (JobState.FAILED, True),
        "deleted": (JobState.GONE, True),
    }
    assert counting.job_lists == before


async def test_jobs_that_went_while_no_watch_ran_are_told_by_the_next_list(kubectl: Kubectl) -> None:
    for name in ("stays", "goes"):
        create(kubectl, name)
    told: list[tuple[str, JobState]] = []
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        kubectl("delete", "job", "goes")
        job_watch.on_job = lambda job: told.append((job.name, job.state))
        await job_watch.catch_up(kubectl.namespace)
    assert sorted(told) == [("goes", JobState.GONE), ("stays", JobState.ACTIVE)]


async def test_a_job_that_no_event_told_of_is_read_anew_when_its_deletion_is_due(kubectl: Kubectl) -> None:
    """Nothing else asks for a Job that is known to be active: its tick stays open until the Job's end is known."""
    for name in ("gone", "another", "changed"):
        create(kubectl, name, priorityClassName="no-such-class")
    async with connect("test") as api:
        job_watch = JobWatch(api)
        cleanup = JobCleanup(api, job_watch)
        await job_watch.catch_up(kubectl.namespace)
        kubectl("delete", "job", "gone", "another")
        create(kubectl, "another")
        kubectl("annotate", "job", "changed", "changed=meanwhile")
        waiting = job_watch.jobs.waiting()
        assert len(waiting) == 3
        await cleanup.delete_waiting(waiting, kubectl.namespace)
        states = {job.name: job.state for job in map(job_watch.jobs.get, ("gone", "another", "changed")) if job}
        assert states == {"gone": JobState.GONE, "another": JobState.ACTIVE, "changed": JobState.ACTIVE}
        assert [job.name for job in job_watch.jobs.waiting()] == ["changed"]
        await cleanup.delete_waiting(job_watch.jobs.waiting(), kubectl.namespace)
    eventually(lambda: [job["metadata"]["name"] for job in kubectl.get("jobs")["items"]] == ["another"], what="it goes")


async def test_the_cause_of_a_failure_outlives_the_job_that_the_next_failure_replaces(kubectl: Kubectl) -> None:
    """The CronJob controller itself deletes the older Job, by the CronJob's failedJobsHistoryLimit."""
    owner = create_cronjob(kubectl, "region", failed_jobs_history_limit=1)
    async with connect("test") as api:
        job_watch = JobWatch(api)
        running = asyncio.create_task(job_watch.run(kubectl.namespace))
        for name, code in (("region-1", 75), ("region-2", 1)):
            create(kubectl, name, owner=owner)
            end(kubectl, name, "Failed", code)
            await asyncio.to_thread(eventually, partial(job_watch.jobs.failure_of, name), what="its pod is seen")
        running.cancel()
        await asyncio.to_thread(eventually, lambda: kubectl.fails("get", "job", "region-1"), what="the older one goes")
        await job_watch.catch_up(kubectl.namespace)
        found = await job_watch.find(["region-1", "region-2"], kubectl.namespace)
    assert {name: job.state for name, job in found.items()} == {"region-1": JobState.GONE, "region-2": JobState.FAILED}
    reasons = {name: failure.reason for name in found if (failure := job_watch.jobs.failure_of(name))}
    assert reasons == {"region-1": Reason.DATABASE, "region-2": Reason.POD_FAILED}


async def test_what_troubles_a_job_is_seen(kubectl: Kubectl) -> None:
    create(kubectl, "refused", priorityClassName="no-such-class")
    kubectl("create", "quota", QUOTA_NAME, "--hard=pods=0")
    eventually(lambda: kubectl.get("quota", QUOTA_NAME)["status"].get("used"), what="the quota counts")
    create(kubectl, "waiting")

    def refused() -> bool:
        events = kubectl.get("events", "--field-selector", "reason=FailedCreate")["items"]
        return {event["involvedObject"]["name"] for event in events} >= {"refused", "waiting"}

    eventually(refused, what="both were refused a pod")
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        jobs = await job_watch.find(["refused", "waiting"], kubectl.namespace)
        await job_watch.find_failures(jobs.values(), kubectl.namespace)
        found = {name: job_watch.jobs.failure_of(name) for name in ("refused", "waiting")}
    assert {name: failure.reason for name, failure in found.items() if failure} == {
        "refused": Reason.REFUSED,
        "waiting": Reason.CAPACITY,
    }


async def test_what_refused_a_jobs_pods_most_often_is_its_trouble(kubectl: Kubectl) -> None:
    kubectl("create", "quota", QUOTA_NAME, "--hard=pods=0")
    create(kubectl, "waiting")
    of_events = ("events", "--field-selector", "reason=FailedCreate")
    eventually(lambda: len(kubectl.get(*of_events)["items"]) > 1, what="it was refused a pod twice")
    once = kubectl.get(*of_events)["items"][-1]
    once["metadata"] = {"name": "zzz"}  # listed last
    once["message"] = 'Internal error occurred: failed calling webhook "a.b.c": context deadline exceeded'
    kubectl("create", "-f", "-", stdin=json.dumps(once))
    async with connect("test") as api:
        job_watch = JobWatch(api)
        await job_watch.catch_up(kubectl.namespace)
        await job_watch.find_failures(job_watch.jobs.waiting(), kubectl.namespace)
    assert (failure := job_watch.jobs.failure_of("waiting")) is not None
    assert failure.reason is Reason.CAPACITY
