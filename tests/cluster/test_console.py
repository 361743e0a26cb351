"""The console beside a real operator on a real API server: what it shows is what kubectl and `plan` say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.database.grants import Kind
from region_operator.plan.conditions import ReadyReason
from region_tick.contract import job_name
from tests.cluster.jobs import pod_of
from tests.harness.console_process import ConsoleProcess
from tests.harness.operator_rights import (
    CONSOLE,
    CONSOLE_RBAC,
    CONSOLES_LAST_RIGHT,
    install_rights,
    operator_kubeconfig,
    rbac,
)
from tests.harness.rbac import asked, granted
from tests.harness.regions import EVERY_FIVE_MINUTES, ONCE_A_YEAR
from tests.harness.ticks import SOURCE
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.cluster.conftest import Command
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions
    from tests.harness.roles import Roles

AT = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
PATHS = ("", "regions", "ledger", "next", "plan", "forecast", "regions/good", "regions/good/ticks")


@pytest.fixture
def console(
    roles: Roles,
    kubectl: Kubectl,
    operator_environment: dict[str, str],
    run_operator: RunOperator,
    add_regions: AddRegions,
    tmp_path: Path,
) -> Iterator[ConsoleProcess]:
    """A console with its own rights, beside an operator that has made the CronJobs of three regions."""
    add_regions(["good"], cron=EVERY_FIVE_MINUTES)
    add_regions(["stopped"], cron=ONCE_A_YEAR)
    add_regions(["bad"], cron="61 * * * *")
    install_rights(kubectl, CONSOLE_RBAC)
    kubeconfig = operator_kubeconfig(kubectl, tmp_path, account=CONSOLE, last_right=CONSOLES_LAST_RIGHT)
    database = operator_environment["DATABASE_URL"]
    roles.close_public_schema(database)
    assert roles.grant(database) == []
    own = {"KUBECONFIG": str(kubeconfig), "DATABASE_URL": roles.url(Kind.CONSOLE, database)}
    with run_operator():
        eventually(lambda: kubectl.ready().get("reason") == ReadyReason.QUARANTINED, what="a reconcile", seconds=90)
        with ConsoleProcess(tmp_path / "console.log", operator_environment | own) as process:
            yield process


def test_the_console_says_what_kubectl_and_plan_say_with_rights_to_read_alone(
    console: ConsoleProcess, kubectl: Kubectl, control_plane: LocalCluster, command: Command, sql: Any
) -> None:
    overview = console.json()
    assert {name: overview["regions"][name] for name in ("active", "ticking", "quarantined")} == {
        "active": 3,
        "ticking": 2,
        "quarantined": 1,
    }
    ready = kubectl.ready()
    assert overview["versions"]["operator"] is None  # no pod runs it here, and listing pods is allowed
    assert overview["ready"] == {name: ready[name] for name in ("status", "reason", "message")}
    assert [(item["code"], item["kind"]) for item in overview["attention"]] == [("bad", "quarantined")]
    assert overview["attention"][0]["text"].partition(";")[0] in ready["message"]

    cronjob = kubectl.cronjobs()["good"]["metadata"]
    region = console.json("regions/good")
    assert (region["cronJob"]["name"], region["cronJob"]["uid"]) == (cronjob["name"], cronjob["uid"])
    assert "region-operator" in [change["manager"] for change in region["cronJob"]["changedBy"]]
    printed = json.loads(command("plan", "--output", "json").stdout)
    assert console.json("plan")["plan"] == printed
    assert console.json("forecast")["forecast"]["due"] == printed["forecast"]["due"] == 288

    stopped = kubectl.cronjobs()["stopped"]["metadata"]["name"]
    kubectl("annotate", "cronjob", stopped, "region-tick.dev/paused=true", "--field-manager=ann")
    kubectl("annotate", "cronjob", stopped, "region-tick.dev/paused-reason=tired")
    paused = eventually(
        lambda: (found := console.json("regions/stopped"))["state"] == "paused" and found, what="the pause shows"
    )
    assert (paused["pause"]["by"], paused["pause"]["reason"], paused["next"]) == ("ann", "tired", None)

    job = job_name(cronjob["name"], AT)
    kubectl("create", "job", job, f"--from=cronjob/{cronjob['name']}")
    pod_of(kubectl, job)  # "good" may tick by itself too
    eventually(lambda: job in told_of_jobs(kubectl), what="the Job's Event, which comes after the pod")
    sql(
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, reason, job_name,"
        " finished_at) SELECT %s, id::text, %s, code, %s, 'missed', 'no node', %s, now() FROM region_index"
        " WHERE code = 'good'",
        *(SOURCE, AT, EVERY_FIVE_MINUTES, job),
    )
    tick = console.json(f"regions/good/ticks/{AT.isoformat().replace('+00:00', 'Z')}")
    found = {step["source"]: step for step in tick["chain"]}
    assert found["job"]["text"] == f"Job {job} was created"
    assert "is Pending" in found["pod"]["text"]
    assert any(job in step["text"] for step in tick["chain"] if step["source"] == "event")
    assert tick["logs"].endswith(f"job-name={job}")
    assert "nodes" in tick["remedy"]

    sql("UPDATE region_index SET active = false WHERE code = 'good'")
    gone = eventually(
        lambda: (found := console.json("regions/good"))["schedule"] is None and found, what="the region is gone"
    )
    assert "good" not in kubectl.cronjobs()
    assert f"no active row of {SOURCE} has this code now" in gone["why"]
    assert (gone["state"], gone["cronJob"], gone["ticks"][0]["reason"]) == ("inactive", None, "no node")

    for path in PATHS:
        console.json(path)
    assert [line for line in console.lines if line["level"] in ("warning", "error")] == []
    user = f"system:serviceaccount:{kubectl.namespace}:{CONSOLE}"
    written = {right.resource for _, right in asked(control_plane.audit_log, user, since=0)}  # the log has writes alone
    assert written <= {"selfsubjectaccessreviews.authorization.k8s.io"}  # of the fixture
    assert {right.verb for right in granted(json.loads(rbac(CONSOLE_RBAC))[1]["rules"])} == {"get", "list"}


def told_of_jobs(kubectl: Kubectl) -> set[str]:
    """Return the names of the Jobs that Events are about."""
    about = [event["involvedObject"] for event in kubectl.get("events")["items"]]
    return {each["name"] for each in about if each["kind"] == "Job"}
