"""Ticks in real pods, each done once, whatever happens to its pod."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.kubectl import Kubectl
from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.waiting import eventually
from tests.node.installation import (
    NAMESPACE,
    all_finished,
    completed_jobs,
    effects,
    operator_pods,
    runs,
    started_tick,
)
from tests.node.pods import pods_at_work, tick_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

pytestmark = pytest.mark.timeout(900)

Disruption = Callable[[Kubectl, str], AbstractContextManager[None]]


@contextmanager
def delete_pod(kubectl: Kubectl, pod: str) -> Iterator[None]:
    kubectl("delete", "pod", pod, "--wait=false")
    yield


@contextmanager
def drain_node(kubectl: Kubectl, _pod: str) -> Iterator[None]:
    """Take the node's ticks away, as for its upgrade; it takes pods again in the end."""
    try:
        kubectl(
            *("drain", "node", "--force", "--delete-emptydir-data"), "--pod-selector=app=region-tick", "--timeout=60s"
        )
        yield
    finally:
        kubectl("uncordon", "node")


def test_rows_tick_in_real_pods_and_job_run_says_so(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    add_regions(database, 3, cron=EVERY_MINUTE)
    eventually(lambda: len(completed_jobs(running)) >= 3, what="three completed Jobs", seconds=150)
    running("patch", "regionscheduler", "default", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    eventually(lambda: all(item["spec"]["suspend"] for item in running.cronjobs().values()), what="no further Jobs")
    eventually(lambda: all_finished(running), what="all Jobs have ended", seconds=60)
    rows = runs(database)
    assert [row[0] for row in rows] == completed_jobs(running)
    assert {row[1:] for row in rows} == {("succeeded", "ok", 1)}

    leader = running.get("lease", "region-operator")["spec"]["holderIdentity"].partition("_")[0]
    assert leader in operator_pods(running)
    assert len(operator_pods(running)) == 2
    namespace = running.get("namespace", NAMESPACE)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert all(
        job["metadata"]["ownerReferences"][0]["kind"] == "CronJob" if "ownerReferences" in job["metadata"] else True
        for job in running.get("jobs")["items"]
    )


def test_the_handlers_line_is_in_the_pods_log(running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]) -> None:
    add_regions(database, 1, cron=EVERY_MINUTE)
    [job] = eventually(lambda: completed_jobs(running), what="a completed Job", seconds=150)[:1]
    lines = [json.loads(line) for line in running("logs", f"job/{job}").splitlines()]
    [poke] = [line for line in lines if line["event"] == "poke"]
    assert (poke["region.code"], poke["cron"]) == ("R1", EVERY_MINUTE)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", poke["ts"])


def test_a_tick_that_is_started_twice_is_done_once(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    name = started_tick(running, database, pods=2)
    eventually(lambda: running.get("job", name)["status"].get("succeeded") == 2, what="both pods end", seconds=120)
    assert effects(database) == [("R1", 1)]
    assert runs(database) == [(name, "succeeded", "ok", 1)]
    pods = running.get("pods", "--selector", f"batch.kubernetes.io/job-name={name}")["items"]
    logs = [running("logs", pod["metadata"]["name"]) for pod in pods]
    assert Counter('"event": "claimed"' in log for log in logs) == {True: 1, False: 1}


def test_a_tick_whose_process_is_killed_is_taken_over(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    name = started_tick(running, database, pods=2)
    (pod,) = pods_at_work(database)
    kill(tick_process(pod))
    eventually(lambda: running.get("job", name)["status"].get("succeeded") == 2, what="the Job ends", seconds=180)
    assert effects(database) == [("R1", 2)]
    assert runs(database) == [(name, "succeeded", "ok", 2)]


@pytest.mark.parametrize("disrupt", [delete_pod, drain_node])
def test_a_tick_whose_pod_has_to_go_says_so_and_is_done_by_the_next(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]], disrupt: Disruption
) -> None:
    name = started_tick(running, database, pods=1)
    (pod,) = pods_at_work(database)
    with disrupt(running, pod):
        eventually(
            lambda: runs(database) == [(name, "interrupted", "terminated", 1)], what="it is on record", seconds=60
        )
    eventually(lambda: running.get("job", name)["status"].get("succeeded") == 1, what="the Job ends", seconds=120)
    assert effects(database) == [("R1", 2)]
    assert runs(database) == [(name, "succeeded", "ok", 2)]


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
