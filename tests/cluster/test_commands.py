"""once.py, as people and programs use it: `region-operator plan` and `reconcile --once`, as processes of their own."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.harness.audit import audit_lines, sent_by
from tests.harness.regions import EVERY_FIVE_MINUTES
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.cluster.conftest import Command
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'


def test_a_plan_says_what_a_reconcile_does_and_changes_nothing(
    command: Command, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    add_regions(3, cron=EVERY_FIVE_MINUTES)
    sql("UPDATE region_index SET cron_schedule = '61 * * * *' WHERE code = 'R3'")
    done = command("plan")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.splitlines() == [
        "create       R1  */5 * * * *  an active row without a CronJob",
        "create       R2  */5 * * * *  an active row without a CronJob",
        "quota                         at most 4 ticks at once",
        next(line for line in done.stdout.splitlines() if line.startswith("quarantined  R3")),
        "the next 24 h have 576 ticks: all start in time",
        "2 to create, 0 unchanged, 1 quarantined",
    ]
    assert [line for line in audit_lines(control_plane, kubectl.namespace) if sent_by(line)] == []
    assert kubectl.cronjobs() == {}

    once = command("reconcile", "--once")
    assert (once.returncode, once.stderr) == (0, "")
    assert {line["event"] for line in map(json.loads, once.stdout.splitlines())} >= {"added", "reconciled"}
    assert kubectl.cronjobs().keys() == {"R1", "R2"}
    assert kubectl.ready()["reason"] == "RegionsQuarantined"
    assert kubectl.get("lease", "region-operator")["spec"]["holderIdentity"] == ""

    done = command("plan", "--output", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["changes"] == []
    assert json.loads(done.stdout)["unchanged"] == 2

    sql("UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R1'")
    sql("DELETE FROM region_index WHERE code = 'R2'")
    kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"concurrency": 8}}')
    done = command("plan", "--output", "json")
    assert done.returncode == 2
    report = json.loads(done.stdout)
    assert {(change["action"], change["code"]) for change in report["changes"]} == {
        ("reschedule", "R1"),
        ("delete", "R2"),
    }
    assert report["quota"] == 8


def test_two_processes_with_different_hash_seeds_render_the_same(
    command: Command, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    scheduler = json.loads(SCHEDULER) | {"spec": {"tick": {"nodeSelector": {"a": "1", "b": "2"}}}}
    kubectl("apply", "-f", "-", stdin=json.dumps(scheduler))
    add_regions(5)
    versions = []
    for seed in ("1", "2", "3"):
        done = command("reconcile", "--once", PYTHONHASHSEED=seed)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(line.startswith("{") for line in done.stdout.splitlines()), "nothing but lines of the log"
        versions.append({name: item["metadata"]["resourceVersion"] for name, item in kubectl.cronjobs().items()})
    assert len(versions[0]) == 5
    assert versions == versions[:1] * 3


def test_a_plan_shows_what_is_held_and_how_to_approve_it(
    command: Command, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(20, cron=EVERY_FIVE_MINUTES)
    assert command("reconcile", "--once").returncode == 0
    sql("TRUNCATE region_index")
    before = command("plan")
    assert before.returncode == 2
    assert "20 to hold" in before.stdout
    assert "kubectl annotate" not in before.stdout
    assert command("reconcile", "--once").returncode == 0
    assert len(kubectl.cronjobs()) == 20
    [message] = [line for line in command("plan").stdout.splitlines() if "kubectl annotate" in line]
    kubectl(*message.rpartition("kubectl ")[2].split())
    approved = command("plan")
    assert (approved.returncode, "20 to delete" in approved.stdout) == (2, True)
    assert command("reconcile", "--once").returncode == 0
    assert kubectl.cronjobs() == {}


def test_a_plan_says_that_spec_tick_is_refused_and_shows_what_is_done_meanwhile(
    command: Command, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(3, cron=EVERY_FIVE_MINUTES)
    assert command("reconcile", "--once").returncode == 0
    [revision] = kubectl.get("controllerrevisions")["items"]
    bad = {"spec": {"tick": {"volumeMounts": [{"name": "absent", "mountPath": "/absent"}]}}}
    kubectl("patch", "rsched", "default", "--type=merge", "--patch", json.dumps(bad))
    assert "3 to update" in command("plan").stdout, "nobody has tried it yet"
    assert command("reconcile", "--once").returncode == 1
    sql("UPDATE region_index SET cron_schedule = '7 0 * * *' WHERE code = 'R1'")
    done = command("plan")
    assert (done.returncode, "1 to reschedule, 2 unchanged" in done.stdout) == (2, True)
    [refused] = [line for line in done.stdout.splitlines() if "spec.tick is refused" in line]
    assert "absent" in refused
    assert f"the last good one, of ControllerRevision {revision['metadata']['name']}" in refused


def test_a_plan_needs_no_schema_of_ours(command: Command, kubectl: Kubectl, empty_database: str) -> None:
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    done = command("plan", DATABASE_URL=empty_database)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("region-operator: the region table public.region_index cannot be read: ")
    with psycopg.connect(empty_database) as connection:
        connection.execute(
            "CREATE TABLE region_index (id int, code text, name text, bbox_min_lon float, bbox_min_lat float,"
            " bbox_max_lon float, bbox_max_lat float, cron_schedule text, active bool)"
        )
        connection.execute("INSERT INTO region_index VALUES (1, 'R1', 'One', null, null, null, null, '@daily', true)")
    done = command("plan", DATABASE_URL=empty_database)
    assert (done.returncode, done.stdout.split()[:3]) == (2, ["create", "R1", "@daily"])
    with psycopg.connect(empty_database) as connection:
        schemas = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = 'region_tick'").fetchall()
    assert schemas == []


def test_a_forecast_says_what_does_not_fit_and_changes_nothing(
    command: Command, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions, sql: Any
) -> None:
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    add_regions(300, cron="30 * * * *")
    done = command("forecast")
    assert (done.returncode, done.stderr) == (2, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("the next 24 h have 7,200 ticks: ")
    assert "an assumption" in lines[1]
    assert "spec.concurrency 6 instead of 4" in lines[3]
    assert len(lines) == 5 + 20
    assert "7,200 ticks" in command("plan").stdout

    found = json.loads(command("forecast", "--output", "json").stdout)
    assert (found["fits"], found["due"], len(found["minutes"])) == (False, 7200, 24)
    assert {minute["due"] for minute in found["minutes"]} == {300}

    sql("UPDATE region_index SET cron_schedule = 'H * * * *'")
    done = command("forecast")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("the next 24 h have 7,200 ticks: ")
    assert [line for line in audit_lines(control_plane, kubectl.namespace) if sent_by(line)] == []


def test_one_who_would_write_beside_a_leader_is_refused(
    command: Command, run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="it leads")
        leader = kubectl.get("lease", "region-operator")["spec"]["holderIdentity"]
        once = command("reconcile", "--once")
        assert once.returncode == os.EX_TEMPFAIL
        assert once.stderr == f"region-operator: {leader} leads; it reconciles, so nothing was done here\n"
        assert all(sent_by(line, leader) for line in audit_lines(control_plane, kubectl.namespace) if sent_by(line))
        assert command("plan").returncode == 0
        operator.signal(signal.SIGKILL)
        operator.wait()
    add_regions(1, cron=EVERY_FIVE_MINUTES)
    assert command("reconcile", "--once").returncode == 0
    assert kubectl.cronjobs().keys() == {"R1"}


@pytest.mark.parametrize("arguments", [("plan",), ("forecast",), ("reconcile", "--once")])
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "the database cannot be reached: "),
        ({"DATABASE_URL": "mysql://127.0.0.1/none"}, "DATABASE_URL cannot be used: "),
        ({"KUBECONFIG": "/nowhere"}, "Invalid kube-config file"),
        ({"CONCURRENCY": "0"}, "the environment cannot be used: CONCURRENCY"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    command: Command, kubectl: Kubectl, arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    done = command(*arguments, **environment)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]  # what libraries have to say may stand before it
    assert last.startswith(f"region-operator: {message}")
    assert "Traceback" not in done.stderr


def test_without_a_scheduler_there_is_no_plan(command: Command, kubectl: Kubectl) -> None:
    done = command("plan")
    assert (done.returncode, f"namespace {kubectl.namespace} has no RegionScheduler default" in done.stderr) == (
        1,
        True,
    )
    done = command("reconcile", "--once", BOOTSTRAP="false")
    assert (done.returncode, f"namespace {kubectl.namespace} has no RegionScheduler default" in done.stderr) == (
        1,
        True,
    )


def test_a_command_that_is_none_is_not_taken_for_changes(command: Command) -> None:
    assert command("plan", "--output", "yaml").returncode == os.EX_USAGE
    assert command("forecast", "--output", "png").returncode == os.EX_USAGE
    assert command("reconcile").returncode == os.EX_USAGE
