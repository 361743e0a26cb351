"""Ticks whose pods cannot do them: the ledger's causes, from what a real kubelet says of real pods.

Every tick of these tests is expected, by a schedule of one minute to come. Its Job is made by the test ahead of the
controller, from its CronJob's own template with one thing changed, as a mistake in `spec.tick` would change it: so that
one minute shows all causes, and each alone.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.regions import add_regions
from tests.harness.waiting import eventually
from tests.node.installation import USERS_IMAGE, effects, job_of
from tests.node.nodes import another_node, lost
from tests.node.pods import pods_at_work, tick_process

if TYPE_CHECKING:
    import psycopg

    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.timeout(900)

Change = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object]
"""Of a Job's spec, its pod's spec and its container."""

PYTHON = "/opt/region-tick/bin/python"
QUICK = {"image": USERS_IMAGE, "timeout": "10s", "retries": 0, "startDeadline": "10s", "failedLogLines": 20}


def handler(name: str, *, memory: str = "128Mi") -> Change:
    def change(_job: dict[str, Any], _pod: dict[str, Any], container: dict[str, Any]) -> None:
        container["resources"] = {"limits": {"memory": memory}}
        _variable(container, "TICK_HANDLER")["value"] = name

    return change


def _variable(container: dict[str, Any], name: str) -> dict[str, Any]:
    (variable,) = [variable for variable in container["env"] if variable["name"] == name]
    found: dict[str, Any] = variable
    return found


def lasting(seconds: int) -> Change:
    """Have the Job's time be over after so long."""

    def change(job: dict[str, Any], _pod: dict[str, Any], _container: dict[str, Any]) -> None:
        job["activeDeadlineSeconds"] = seconds

    return change


def pod(**changes: Any) -> Change:
    return lambda _job, pod, _container: pod.update(changes)


def container(**changes: Any) -> Change:
    return lambda _job, _pod, container: container.update(changes)


def database_url(url: str) -> Change:
    def change(_job: dict[str, Any], _pod: dict[str, Any], container: dict[str, Any]) -> None:
        variable = _variable(container, "DATABASE_URL")
        del variable["valueFrom"]
        variable["value"] = url

    return change


CAUSES: dict[str, tuple[Change, tuple[str, str, str]]] = {
    "hungry": (handler("work:hungry", memory="96Mi"), ("failed", "out of memory", "killed")),
    "starved": (handler("poke", memory="14Mi"), ("missed", "out of memory", "killed")),
    "fails": (handler("work:fails"), ("failed", "error", "no answer")),
    "no-image": (container(image="127.0.0.1:1/nobody/has-this:1"), ("missed", "image", "nobody/has-this:1")),
    "no-secret": (
        container(envFrom=[{"secretRef": {"name": "absent"}}]),
        ("missed", "pod not started", 'secret "absent" not found'),
    ),
    "no-program": (container(command=["/absent"]), ("missed", "pod not started", "/absent")),
    "no-node": (pod(nodeSelector={"there-is": "none"}), ("missed", "no node", "node affinity/selector")),
    "refused": (container(securityContext={}), ("missed", "pod refused", "PodSecurity")),
    "host-path": (
        pod(volumes=[{"name": "region-tick-tmp", "hostPath": {"path": "/etc"}}]),
        ("missed", "pod refused", 'type "hostPath"'),
    ),
    "breaks": (container(command=[PYTHON, "-c", "raise SystemExit(1)"]), ("missed", "pod failed", "exit code 1")),
    "no-database": (database_url("postgresql://127.0.0.1:1/none"), ("missed", "database away", "exit code 75")),
}
"""What is changed of a tick's Job, and what the row says: state, reason, and a part of its message."""
EXIT_CODES = {"hungry": 137, "starved": 137, "fails": 75, "breaks": 1, "no-database": 75}
"""Of the causes whose container ended."""


def test_every_tick_that_its_pod_could_not_do_has_one_final_row_that_says_why(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    minute = expect_ticks(running, database, *CAUSES)
    start_ticks(running, minute, {code: change for code, (change, _) in CAUSES.items()})
    eventually(lambda: len(final_rows(database)) == len(CAUSES), what="every tick has its row", seconds=240)
    found = final_rows(database)
    assert found == {code: [(minute, state, reason)] for code, (_, (state, reason, _)) in CAUSES.items()}
    said = dict(database.execute("SELECT region_code, error_message FROM region_tick.job_run").fetchall())
    assert {code: said[code] for code, (_, (_, _, part)) in CAUSES.items() if part not in said[code]} == {}
    codes = dict(database.execute("SELECT region_code, exit_code FROM region_tick.job_run").fetchall())
    assert {code: number for code, number in codes.items() if number is not None} == EXIT_CODES
    kept = "SELECT region_code, log_attempt, log_lines FROM region_tick.job_run WHERE log_lines IS NOT NULL"
    [(code, attempt, lines)] = database.execute(kept).fetchall()
    assert (code, attempt) == ("fails", 1)
    assert "info asked url=postgresql://***@" in lines
    assert lines.endswith("    ValueError: no answer")


ON_A_LOST_NODE: dict[str, tuple[Change, tuple[str, str]]] = {
    "over-before": (lasting(70), ("failed", "node lost")),
    "over-meanwhile": (lasting(125), ("failed", "node lost")),
    "over-later": (lasting(900), ("succeeded", "ok")),
}
"""By when their time is over: before the node's pods are given up (90 s after its last word at most), before it
returns, or after that. It returns when the first has its row: a minute after its time, and by a settling after that.
"""


def test_ticks_on_a_node_that_is_lost_and_returns_are_done_later_or_have_a_row_that_says_so(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster
) -> None:
    database.execute("CREATE TABLE public.effects (region text, tick_at timestamptz, attempt int)")
    minute = expect_ticks(running, database, *ON_A_LOST_NODE, handler="work:longest", timeout="60s")
    eventually(lambda: datetime.now(UTC) > minute - timedelta(seconds=10), what="their minute", seconds=120)
    start_ticks(running, minute, {code: change for code, (change, _) in ON_A_LOST_NODE.items()})
    pods = pods_at_work(database, len(ON_A_LOST_NODE))
    with another_node(running), lost(node):
        for pod in pods:
            os.kill(tick_process(pod), signal.SIGKILL)
        eventually(lambda: are_given_up(running, pods), what="its pods are given up", seconds=150)
        eventually(lambda: "over-before" in final_rows(database), what="the first has its row", seconds=240)
    eventually(lambda: len(final_rows(database)) == len(pods), what="every tick has its row", seconds=240)
    assert final_rows(database) == {code: [(minute, *row)] for code, (_, row) in ON_A_LOST_NODE.items()}
    assert effects(database) == [("over-later", 2)]


def are_given_up(kubectl: Kubectl, names: list[str]) -> bool:
    pods = [item for item in kubectl.get("pods")["items"] if item["metadata"]["name"] in names]
    kinds = [{condition["type"] for condition in pod["status"]["conditions"]} for pod in pods]
    return len(pods) == len(names) and all("DisruptionTarget" in of_pod for of_pod in kinds)


def expect_ticks(kubectl: Kubectl, connection: psycopg.Connection[Any], *codes: str, **tick: object) -> datetime:
    """Have ticks expected, in one minute soon; return that, which leaves at least 45 s for their CronJobs and Jobs."""
    spec = {"refreshInterval": "2s", "concurrency": len(codes), "tick": QUICK | tick}
    kubectl("patch", "regionscheduler", "default", "--type=merge", "--patch", json.dumps({"spec": spec}))
    minute = (datetime.now(UTC) + timedelta(seconds=105)).replace(second=0, microsecond=0)
    add_regions(connection, codes, cron=f"{minute.minute} {minute.hour} {minute.day} {minute.month} *")
    eventually(lambda: len(kubectl.cronjobs()) == len(codes), what="CronJobs")
    return minute


def start_ticks(kubectl: Kubectl, minute: datetime, changes: dict[str, Change]) -> None:
    """Make regions' Jobs of that minute, by code, all at once."""
    cronjobs = kubectl.cronjobs()
    jobs = []
    for code, change in changes.items():
        job = job_of(cronjobs[code], int(minute.timestamp()) // 60)
        pod = job["spec"]["template"]["spec"]
        change(job["spec"], pod, pod["containers"][0])
        jobs.append(job)
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs}))


def final_rows(connection: psycopg.Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """Return the minute, state and reason of each final row, by region."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for code, *row in connection.execute(
        "SELECT region_code, tick_at, state, reason FROM region_tick.job_run"
        " WHERE state NOT IN ('running', 'interrupted') ORDER BY tick_at"
    ):
        rows.setdefault(code, []).append(tuple(row))
    return rows
