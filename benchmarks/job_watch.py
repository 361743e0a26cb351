"""Measures what knowing the Jobs costs while thousands of failed Jobs and their pods stand, in two ways in one run.

- the operator's watch: `ledger/job_watch.py`, with the nudger, as the operator runs them.
- kopf: kopf's watch with a handler that remembers three texts of each Job, a reading of all pods, and a list of all
  Jobs each minute. The operator of release 0.1 did as much and more.

Each way is a process of its own. The control plane and the objects are made for the run; no controller touches the
Jobs, because their `managedBy` names nobody. Nothing changes while the ways are measured. Times depend on the machine,
so the start is judged by a ratio. What a minute costs is judged as it is: next to nothing. The exit code is 1 if a line
is beyond its limit.

    .venv/bin/python -m benchmarks.job_watch [JOBS]        (default: 3000)
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kopf

from benchmarks.finished_jobs import create_with_status
from benchmarks.scale import Results
from devcluster import start_local
from region_operator import wiring
from region_operator.cronjobs.labels import APP
from region_operator.cronjobs.render import render_cronjob
from region_operator.kube.api import CONCURRENT_REQUESTS, Api
from region_operator.kube.connect import connect
from region_operator.kube.nudge import Nudger
from region_operator.ledger.job_watch import JobWatch, jobs_path, unsuccessful_jobs_path
from region_operator.ledger.pod_failure import JOB_NAME_LABEL
from region_operator.regions.schedule import parse_schedule
from region_operator.runtime.garbage import freeze_memory
from region_operator.scheduler import format_time
from tests.harness.examples import PARIS, scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NAMESPACE = "default"
MINUTES = 2
KOPF, OURS = "kopf", "the operator's watch"
START_RATIO, MINUTE_CPU_SECONDS, KEPT_BYTES = 0.5, 0.05, 3000.0


def main() -> int:
    """Measure both ways and print. Return 1 if a value is beyond its limit."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    results = Results()
    with start_local(f"bench-{os.getpid()}", node=False) as cluster:
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        asyncio.run(fill(jobs))
        kopfs, ours = (measure_apart(way, jobs) for way in (KOPF, OURS))
    for way, found in ((KOPF, kopfs), (OURS, ours)):
        how = f"{way}: {found['start_cpu']:.2f} s at start, then {found['minutes']} a minute"
        how += f"; {found['start_megabytes']:.1f} MB more at the peak, {found['megabytes']:.1f} MB more in the end"
        print(how, f"; lists a minute: {found['lists']}, other requests: {found['gets']}", file=sys.stderr)
    ratio = ours["start_cpu"] / kopfs["start_cpu"]
    results.add(
        "start, CPU beside kopf's", ratio, START_RATIO, f"{ours['start_cpu']:.2f} s, {kopfs['start_cpu']:.2f} s"
    )
    how = f"kopf and a list each minute: {max(kopfs['minutes']):.3f} s"
    results.add("a minute without changes, CPU s", max(ours["minutes"]), MINUTE_CPU_SECONDS, how)
    results.add("its lists of Jobs and pods", ours["lists"], 0, f"kopf and a list each minute: {kopfs['lists']:.1f}")
    results.add("its other requests for Jobs and pods", ours["gets"], 0, "")
    how = f"the process grew by {ours['megabytes']:.1f} MB, kopf's by {kopfs['megabytes']:.1f} MB"
    results.add("memory kept for each Job, bytes", ours["kept_bytes"], KEPT_BYTES, how)
    return 0 if results.show(f"{jobs} failed Jobs with their pods") else 1


async def fill(jobs: int) -> None:
    """Create failed Jobs as the CronJob controller makes them, each with its failed pod."""
    async with connect("benchmark") as api:
        bodies = make_bodies(jobs)
        await asyncio.gather(*(_create(api, bodies) for _ in range(CONCURRENT_REQUESTS)))


def make_bodies(jobs: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield Jobs and their pods."""
    cronjob = render_cronjob(
        PARIS, parse_schedule(PARIS.cron_schedule), scheduler(), name="r", tick_image="t", suspended_by=None
    )
    template = cronjob["spec"]["jobTemplate"]
    pod_spec = {key: value for key, value in template["spec"]["template"]["spec"].items() if key != "priorityClassName"}
    labels = template["metadata"]["labels"]
    for number in range(jobs):
        name = f"region-{number:05}-0123456789ab-{time.time() // 60:.0f}"
        spec = template["spec"] | {"managedBy": "example.com/nobody"}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}, "spec": spec}
        meta = {"name": f"{name}-x7z2k", "labels": labels | {JOB_NAME_LABEL: name}}
        yield (
            job,
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod_spec | {"schedulerName": "nobody"}},
        )


async def _create(api: Api, bodies: Iterator[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for job, pod in bodies:
        now = format_time(datetime.now(UTC))
        failed = {"status": "True", "reason": "PodFailurePolicy", "message": "a" * 150, "lastTransitionTime": now}
        conditions = [failed | {"type": kind} for kind in ("FailureTarget", "Failed")]
        status = {"startTime": now, "failed": 1, "conditions": conditions}
        await create_with_status(api, jobs_path(NAMESPACE), job, status)
        ended = {"terminated": {"exitCode": 65, "reason": "Error"}}
        container = {"name": "tick", "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": ended}
        status = {"phase": "Failed", "containerStatuses": [container]}
        await create_with_status(api, f"/api/v1/namespaces/{NAMESPACE}/pods", pod, status)


def measure_apart(way: str, jobs: int) -> dict[str, Any]:
    """Measure a way in a process of its own."""
    command = [sys.executable, "-c", f"from benchmarks.job_watch import run_way; run_way({way!r}, {jobs})"]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found


def run_way(way: str, jobs: int) -> None:
    """Measure a way in this process, and print what was found as JSON."""
    print(json.dumps(asyncio.run(_measure(KopfWay() if way == KOPF else OurWay(), jobs))))


async def _measure(way: KopfWay | OurWay, jobs: int) -> dict[str, Any]:
    freeze_memory()
    async with connect("benchmark") as api:
        found: dict[str, Any] = {"minutes": []}
        await _count_requests(api)  # the connection stands
        _forget_peak()
        cpu, resident = time.process_time(), _megabytes("VmRSS")
        running = asyncio.create_task(way.run(api))
        while not way.is_done(jobs):
            await asyncio.sleep(0.2)
        await asyncio.sleep(5)  # what was begun comes to its end
        found["start_cpu"] = time.process_time() - cpu
        found["start_megabytes"] = _megabytes("VmHWM") - resident
        lists, gets = await _count_requests(api)
        for _ in range(MINUTES):
            cpu = time.process_time()
            await asyncio.sleep(60)
            await way.pass_minute(api)
            found["minutes"].append(round(time.process_time() - cpu, 4))
        lists_after, gets_after = await _count_requests(api)
        found |= {"lists": (lists_after - lists) / MINUTES, "gets": (gets_after - gets) / MINUTES}
        gc.collect()
        found["megabytes"] = _megabytes("VmRSS") - resident
        running.cancel()
        await asyncio.wait({running})
        found["kept_bytes"] = await _kept_bytes(api, jobs)
    return found


class KopfWay:
    """kopf's watch of Jobs, a reading of all their pods, and a list of all Jobs each minute."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[str, str, str]] = {}
        self._pods = 0

    async def run(self, api: Api) -> None:
        """Watch until cancelled, and read the pods once."""
        registry, settings = kopf.OperatorRegistry(), wiring._settings()
        settings.watching.label_selectors["batch", "v1", "jobs"] = f"app={APP}"
        settings.watching.field_selectors["batch", "v1", "jobs"] = "status.successful=0"
        kopf.on.login(registry=registry)(wiring._login)
        kopf.on.event("batch", "v1", "jobs", labels={"app": APP}, registry=registry)(self._on_job)
        watching = asyncio.create_task(kopf.operator(registry=registry, settings=settings, namespaces=[NAMESPACE]))
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?fieldSelector=status.phase%21%3DSucceeded"
        async for pod in api.items(f"{path}&labelSelector=app%3D{APP}"):
            self._pods += pod["status"]["phase"] == "Failed"
        await watching

    async def _on_job(self, body: kopf.Body, **_: Any) -> None:
        self._remember(body)

    def _remember(self, body: Any) -> None:
        meta = body["metadata"]
        self._jobs[meta["name"]] = (meta["uid"], meta["resourceVersion"], meta["creationTimestamp"])

    def is_done(self, jobs: int) -> bool:
        """Whether all Jobs and pods are known."""
        return (len(self._jobs), self._pods) == (jobs, jobs)

    async def pass_minute(self, api: Api) -> None:
        """Do what a pass of the ledger did."""
        async for body in api.items(unsuccessful_jobs_path(NAMESPACE)):
            self._remember(body)


class OurWay:
    """The operator's own watch."""

    def __init__(self) -> None:
        self._watch: JobWatch | None = None

    async def run(self, api: Api) -> None:
        """Watch until cancelled."""
        self._watch = JobWatch(api)
        self._watch.on_job = Nudger().observe_job
        await self._watch.run(NAMESPACE)

    def is_done(self, jobs: int) -> bool:
        """Whether all Jobs and pod failures are known."""
        known = self._watch.jobs if self._watch else None
        return known is not None and len(known) == jobs and all(map(known.failure_of, known._jobs))

    async def pass_minute(self, _: Api) -> None:
        """Do what a pass of the ledger does."""
        assert self._watch is not None  # noqa: S101 - it runs
        await self._watch.catch_up(NAMESPACE)


async def _kept_bytes(api: Api, jobs: int) -> float:
    """Return how many bytes the operator keeps for each Job and its pod failure."""
    tracemalloc.start()
    watch, nudger = JobWatch(api), Nudger()
    watch.on_job = nudger.observe_job
    await watch.catch_up(NAMESPACE)
    await watch.find_failures_in_pods(watch.jobs.take_failing(), NAMESPACE)
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / jobs


async def _count_requests(api: Api) -> tuple[float, float]:
    """Return how many lists of Jobs and pods, and how many other reading requests for both, the API server had."""
    lists = gets = 0.0
    async for labels, value in _request_counts(api):
        if 'resource="jobs"' in labels or 'resource="pods"' in labels:
            lists += value * ('verb="LIST"' in labels)
            gets += value * ('verb="GET"' in labels)
    return lists, gets


async def _request_counts(api: Api) -> AsyncIterator[tuple[str, float]]:
    for line in (await api.request_bytes("GET", "/metrics")).decode().splitlines():
        if line.startswith("apiserver_request_total{"):
            labels, _, value = line.rpartition(" ")
            yield labels, float(value)


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5)


def _megabytes(what: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
