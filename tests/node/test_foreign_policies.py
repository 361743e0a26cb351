"""What quotas, policies and settings of somebody else do to ticks in real pods, and what the user is told of it.

Each is a report of people who run jobs on Kubernetes, played on a real node. `make test-foreign` runs them, in about
a quarter of an hour.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import VERSION
from tests.harness.policies import policy, setting
from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.waiting import eventually
from tests.node.installation import create_secret, pod_url, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(900)]

PLAIN_CRONJOB = (
    "create",
    "cronjob",
    "plain",
    "--image=plain",
    "--schedule=@yearly",
    "--dry-run=server",
    "--output=json",
)


def rows(connection: psycopg.Connection[Any]) -> Counter[tuple[str, str]]:
    """Count the ticks that have ended, by state and reason."""
    found = connection.execute("SELECT state, reason FROM region_tick.job_run WHERE state <> 'running'").fetchall()
    return Counter((state, reason) for state, reason in found)


def messages(connection: psycopg.Connection[Any]) -> list[str]:
    found = connection.execute("SELECT error_message FROM region_tick.job_run WHERE error_message IS NOT NULL")
    return [message for (message,) in found]


def patch(kubectl: Kubectl, **spec: Any) -> None:
    kubectl("patch", "regionscheduler", "default", "--type=merge", "--patch", json.dumps({"spec": spec}))


@contextmanager
def quota(kubectl: Kubectl, hard: str) -> Iterator[None]:
    kubectl("create", "quota", "theirs", f"--hard={hard}")
    try:
        yield
    finally:
        kubectl("delete", "quota", "theirs")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ([{"name": "DATABASE_URL", "value": "postgresql://u:p@pooler/d"}], "the operator sets this variable itself"),
        ([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], "Duplicate value"),
    ],
)
def test_a_variable_that_cannot_be_is_refused_by_the_api_server(
    env: list[dict[str, str]], said: str, running: Kubectl
) -> None:
    body = json.dumps({"spec": {"tick": {"env": env}}})
    assert said in running.fails("patch", "regionscheduler", "default", "--type=merge", "--patch", body)


def test_another_quota_that_is_full_is_named_and_not_taken_for_ours(
    running: Kubectl, database: psycopg.Connection[Any]
) -> None:
    with quota(running, "limits.memory=128Mi"):
        add_regions(database, 6, cron=EVERY_MINUTE)
        eventually(lambda: rows(database).total() >= 6, what="ticks that are not done have rows", seconds=300)
        patch(running, suspend=True)
    assert set(rows(database)) == {("missed", "pod refused")}
    assert all("exceeded quota: theirs, requested: limits.memory=128Mi" in message for message in messages(database))


def test_a_quota_of_jobs_that_is_full_is_named_by_the_cronjobs_events(
    running: Kubectl, database: psycopg.Connection[Any]
) -> None:
    """Jobs that have ended count, too: Kubernetes keeps them for their CronJob's history."""
    with quota(running, "count/jobs.batch=5"):
        add_regions(database, 6, cron=EVERY_MINUTE)
        eventually(lambda: ("missed", "not created") in rows(database), what="a tick without a Job", seconds=300)
        events = running.get("events", "--field-selector", "involvedObject.kind=CronJob,reason=FailedCreate")["items"]
        patch(running, suspend=True)
    assert any("exceeded quota: theirs, requested: count/jobs.batch=1" in event["message"] for event in events)


def test_a_policy_that_suspends_cronjobs_shows_in_the_number_of_scheduled_regions(
    running: Kubectl, database: psycopg.Connection[Any]
) -> None:
    with policy(running, "cronjobs", "batch", setting("suspend: true")):
        eventually(lambda: json.loads(running(*PLAIN_CRONJOB))["spec"]["suspend"], what="the policy is heard")
        add_regions(database, 3, cron=EVERY_MINUTE)
        eventually(lambda: running.scheduler()["status"]["regions"]["active"] == 3, what="three regions")
        assert {item["spec"]["suspend"] for item in running.cronjobs().values()} == {True}
        assert running.scheduler()["status"]["regions"]["scheduled"] == 0
        assert running.ready()["reason"] == "CronJobsAltered"
        assert running.ready()["message"].startswith("0 of 3 active regions are scheduled; 3 CronJobs are not as")


def test_a_database_with_another_datestyle_ticks(running: Kubectl, database: psycopg.Connection[Any]) -> None:
    name = database.info.dbname
    database.execute(f"ALTER DATABASE {name} SET datestyle = 'German'".encode())
    try:
        running("rollout", "restart", "deployment/region-operator")
        wait_until_ready(running)
        add_regions(database, 3, cron=EVERY_MINUTE)
        eventually(lambda: rows(database)[("succeeded", "ok")] >= 3, what="ticks succeed", seconds=150)
    finally:
        database.execute(f"ALTER DATABASE {name} RESET datestyle".encode())
        running("rollout", "restart", "deployment/region-operator")
        wait_until_ready(running)


@pytest.mark.parametrize("regions", [1, 5])
def test_a_second_question_mark_in_the_secret_changes_no_region(
    regions: int, running: Kubectl, database: psycopg.Connection[Any], node: LocalCluster
) -> None:
    add_regions(database, regions)
    eventually(lambda: len(running.cronjobs()) == regions, what="CronJobs")
    before = {item["metadata"]["uid"] for item in running.cronjobs().values()}
    url = f"--from-literal=DATABASE_URL={pod_url(database, node)}?schema=public?pgbouncer=true"
    create = ("create", "secret", "generic", "region-tick-database", url)
    running("apply", "-f", "-", stdin=running(*create, "--dry-run=client", "--output=yaml"))
    try:
        running("rollout", "restart", "deployment/region-operator")
        eventually(lambda: running.ready().get("status") == "False", what="it is told of", seconds=120)
        assert running.ready()["reason"] == "DatabaseNotConfigured"
        assert "has a ? in the value of schema" in running.ready()["message"]
        assert {item["metadata"]["uid"] for item in running.cronjobs().values()} == before
    finally:
        create_secret(running, database, node)
        running("rollout", "restart", "deployment/region-operator")
        wait_until_ready(running)


SIDECAR = (
    '[JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{name: "proxy", image: "IMAGE",'
    ' command: ["/opt/region-tick/bin/python", "-c", "import time; time.sleep(36000)"],'
    " securityContext: Object.spec.containers.securityContext{allowPrivilegeEscalation: false,"
    ' capabilities: Object.spec.containers.securityContext.capabilities{drop: ["ALL"]}}}}]'
).replace("IMAGE", f"region-tick/tick:{VERSION}")


def test_a_container_that_a_policy_adds_and_that_never_ends_holds_its_slot(
    running: Kubectl, database: psycopg.Connection[Any]
) -> None:
    patch(running, concurrency=4, tick={"timeout": "30s", "retries": 0})
    add = {"patchType": "JSONPatch", "jsonPatch": {"expression": SIDECAR}}
    with policy(running, "pods", "", add, labels={"app.kubernetes.io/component": "tick"}):
        eventually(lambda: running.get("mutatingadmissionpolicies")["items"], what="the policy")
        add_regions(database, 6, cron=EVERY_MINUTE)
        eventually(
            lambda: any(state == "skipped" for state, _ in rows(database)), what="a tick is skipped", seconds=300
        )
        pods = running.get("pods", "--selector", "app.kubernetes.io/component=tick")["items"]
        patch(running, suspend=True)
    found = rows(database)
    print("sidecar", found, messages(database)[:3], [pod["status"]["phase"] for pod in pods])
    running("delete", "jobs", "--selector", "app.kubernetes.io/component=tick", "--wait=false")
    assert found[("succeeded", "ok")] >= 4
    assert [pod["status"]["phase"] for pod in pods].count("Running") >= 4
