"""kubectl_region on a real API server, beside a running operator, started by the real kubectl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import VERSION, tick_at_of
from tests.cluster.jobs import end
from tests.cluster.plugin import Plugin, person, plugin_of
from tests.cluster.quiet import HOUR
from tests.harness.kubectl import kubectl_binary
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.cluster.conftest import Standing
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions


@pytest.fixture
def plugin(kubectl: Kubectl, tmp_path: Path) -> Plugin:
    return plugin_of(kubectl, tmp_path)


def pause_of(kubectl: Kubectl, code: str) -> dict[str, str]:
    """Return the annotations of a region's pause, without their prefix."""
    annotations = kubectl.cronjobs()[code]["metadata"]["annotations"]
    return {key.partition("/")[2]: text for key, text in annotations.items() if "/paused" in key}


def suspended(kubectl: Kubectl) -> set[str]:
    return {code for code, item in kubectl.cronjobs().items() if item["spec"]["suspend"]}


def test_pause_and_resume(standing: Standing, kubectl: Kubectl, plugin: Plugin) -> None:
    with standing(3, **HOUR):
        checked = plugin.succeeds("pause", "R1", "--reason", "moving house", "--dry-run")
        assert checked == "R1 paused (server dry run)\n"
        assert pause_of(kubectl, "R1") == {}

        paused = plugin.succeeds("pause", "R1", "R2", "--reason", "moving house", "--until", "2h")
        assert suspended(kubectl) == {"R1", "R2"}
        told = pause_of(kubectl, "R1")
        assert told.keys() == {"paused", "paused-by", "paused-reason", "paused-since", "paused-until"}
        assert told["paused-reason"] == "moving house"
        end = f"paused until {told['paused-until']} (in 120m)"
        assert paused == f"R1 {end}\nR2 {end}\n"
        whoami = json.loads(kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
        assert told["paused-by"] == whoami

        again = plugin("pause", "--all-matching", "R*", "--reason", "other", stdin="y\n")
        assert "R1 is paused by" in again.stderr
        assert "1 regions: R3" in again.stderr
        assert again.returncode == 0, again.stderr
        assert pause_of(kubectl, "R1") == told, "who paused first keeps the say"
        assert suspended(kubectl) == {"R1", "R2", "R3"}

        refused = plugin("resume", "--all-matching", "R*", stdin="n\n")
        assert (refused.returncode, suspended(kubectl)) == (1, {"R1", "R2", "R3"})
        lines = plugin.succeeds("resume", "R1", "R2").splitlines()
        assert (
            lines[0]
            == f"R1 was paused by {whoami} since {told['paused-since']} until {told['paused-until']}: moving house"
        )
        assert lines[2:] == ["R1 resumed", "R2 resumed"]
        assert (pause_of(kubectl, "R1"), suspended(kubectl)) == ({}, {"R3"})


def test_a_region_is_found_by_its_code_as_the_table_has_it_and_as_it_is_shown(
    standing: Standing, kubectl: Kubectl, plugin: Plugin, add_regions: AddRegions
) -> None:
    code, shown = "São\u00a0Paulo", r"São\xa0Paulo"
    add_regions([code])
    with standing(1, **HOUR):
        assert plugin.succeeds("pause", shown, "--reason", "x") == f"{shown} paused\n"
        assert suspended(kubectl) == {code}
        assert plugin.succeeds("resume", code).endswith(f"{shown} resumed\n")
        plugin.succeeds("pause", "--all-matching", r"*\xa0*", "--reason", "x", "-y")
        assert suspended(kubectl) == {code}


REFUSALS: list[tuple[tuple[str, ...], int, str]] = [
    (("pause", "R9", "--reason", "x"), 1, "; there is R1\nwhat to do: see which there are: kubectl region list"),
    (("trigger", "R9"), 1, "; the ticks of one that is gone: kubectl region runs CODE"),
    (("resume", "R1"), 0, "R1 is not paused"),
    (("resume", "--all-matching", "*"), 1, 'no region that matches "*" is paused'),
    (("pause", "--all-matching", "X*", "--reason", "x"), 1, 'no region matches "X*"'),
    (("get", "R1"), 1, "no console answers in namespace"),
    (("diff",), 2, "no console answers in namespace"),
    (("logs", "R1"), 1, "region R1 has no Job any more"),
    (("approve", "deletion"), 1, "no deletion is held"),
    (("pause", "R1", "--reason", "x", "--context", "nowhere"), 1, 'context "nowhere" does not exist'),
    (("status", "-n", "default"), 1, "no RegionScheduler in namespace default"),
]


def test_what_is_refused_says_why_and_changes_nothing(standing: Standing, kubectl: Kubectl, plugin: Plugin) -> None:
    with standing(1, **HOUR):
        before = kubectl.cronjobs()
        for arguments, code, said in REFUSALS:
            done = plugin(*arguments)
            assert (done.returncode, said in done.stderr) == (code, True), f"{arguments}: {done.stdout}{done.stderr}"
        assert kubectl.cronjobs() == before
        assert kubectl.fails("-n", kubectl.namespace, "region", "status") != "", "flags stand behind the command"


def test_a_pause_that_no_operator_hears_is_no_success(standing: Standing, plugin: Plugin) -> None:
    with standing(1, **HOUR) as operator:
        assert operator.stop() == 0
    done = plugin("pause", "R1", "--reason", "x")
    assert done.returncode == 1
    assert "the annotations are set, and after 15 s the operator has not paused: R1" in done.stderr
    assert "kubectl region doctor" in done.stderr


def test_an_approval_lets_what_is_held_go(
    standing: Standing, kubectl: Kubectl, plugin: Plugin, sql: Any, add_regions: AddRegions
) -> None:
    with standing(3, **HOUR):
        sql("DELETE FROM region_index")
        eventually(lambda: kubectl.condition("DeletionsHeld"), what="the deletions are held")
        without_console = plugin("status")
        assert without_console.returncode == 0
        assert "no console answers" in without_console.stderr
        assert kubectl.condition("DeletionsHeld")["message"] in without_console.stdout
        assert "what to do: kubectl region approve deletion" in without_console.stdout

        shown = plugin.succeeds("approve", "--dry-run")
        assert "3 deletions held since" in shown
        assert "R1, R2, R3" in shown
        assert kubectl.condition("DeletionsHeld")["message"] in shown
        assert plugin("approve", stdin="n\n").returncode == 1
        wrong = plugin("approve", "creation")
        assert (wrong.returncode, "no creation is held; held are: deletion" in wrong.stderr) == (1, True)
        assert kubectl.cronjobs().keys() == {"R1", "R2", "R3"}
        add_regions(1)
        eventually(lambda: "2 deletions held since" in plugin("approve", "--dry-run").stdout, what="a row is back")
        shown = plugin.succeeds("approve", "--dry-run")
        assert "R2, R3" in shown
        assert "R1" not in shown
        sql("DELETE FROM region_index")
        eventually(lambda: "3 deletions held since" in plugin("approve", "--dry-run").stdout, what="it goes again")

        done = plugin.succeeds("approve", "deletion", stdin="y\n")
        assert done.endswith(f"{kubectl.namespace}: the deletions are approved\n")
        eventually(lambda: kubectl.cronjobs() == {}, what="the CronJobs are gone")


def test_a_run_by_hand_and_its_end(standing: Standing, kubectl: Kubectl, plugin: Plugin) -> None:
    with standing(1, **HOUR):
        assert "created (server dry run)" in plugin.succeeds("trigger", "R1", "--dry-run")
        assert kubectl.get("jobs")["items"] == []
        waited = plugin("trigger", "R1", "--wait", "--timeout", "1s")
        assert (waited.returncode, "has not ended after 1 s" in waited.stderr) == (1, True)
        [job] = kubectl.get("jobs")["items"]
        name = job["metadata"]["name"]
        assert f"job.batch/{name} created" in waited.stdout
        assert job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
        [owner] = job["metadata"]["ownerReferences"]
        assert owner["name"] == kubectl.cronjobs()["R1"]["metadata"]["name"]
        assert tick_at_of(name, cronjob=owner["name"]) is None, "it stands for no scheduled tick"

        unstarted = plugin("logs", "R1")
        assert unstarted.returncode == 1
        assert f"no pod of job {name} has a log" in unstarted.stderr or "not found" in unstarted.stderr
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(plugin, "trigger", "R1", "--wait")
            [second] = eventually(
                lambda: {item["metadata"]["name"] for item in kubectl.get("jobs")["items"]} - {name}, what="a second"
            )
            end(kubectl, second, "Succeeded", 0)
            done = waiting.result()
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"job.batch/{second} succeeded"), done.stderr


def test_rights(standing: Standing, kubectl: Kubectl, tmp_path: Path) -> None:
    """Who may look sees; who may also act acts; who has neither role is told which role is missing."""
    nobody = person(kubectl, tmp_path, "nobody")
    viewer = person(kubectl, tmp_path, "viewer", "region-tick-view")
    actor = person(kubectl, tmp_path, "actor", "region-tick-view", "region-tick-operate")
    with standing(1, **HOUR):
        done = nobody("status")
        assert done.returncode == 1
        assert "you may not ask the console" in done.stderr
        assert "--clusterrole=region-tick-view" in done.stderr
        assert "you may not get regionschedulers" in nobody("doctor").stdout

        assert "Ready=True" in viewer.succeeds("status")
        assert "no console answers" in viewer("list").stderr
        for arguments in (("pause", "R1", "--reason", "x"), ("trigger", "R1")):
            refused = viewer(*arguments)
            assert (refused.returncode, "is forbidden" in refused.stderr) == (1, True), refused.stderr
        checked = viewer("doctor").stdout
        assert "ok      your rights to look" in checked
        assert "WARN    your rights to act: you may not patch cronjobs, patch regionschedulers, create jobs" in checked
        assert "--clusterrole=region-tick-operate" in checked

        assert actor.succeeds("pause", "R1", "--reason", "x") == "R1 paused\n"
        user = f"system:serviceaccount:{kubectl.namespace}:actor"
        assert pause_of(kubectl, "R1")["paused-by"] == user
        actor.succeeds("resume", "R1")
        actor.succeeds("trigger", "R1")
        assert "ok      your rights to act" in actor("doctor").stdout


def test_the_doctor(standing: Standing, kubectl: Kubectl, plugin: Plugin) -> None:
    with standing(1, **HOUR):
        done = plugin("doctor", "-o", "json")
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        results = {name: check["result"] for name, check in checks.items()}
        assert results["your rights to look"] == results["your rights to act"] == results["RegionScheduler"] == "ok"
        assert checks["operator"]["text"].startswith("no pod of the operator"), "it runs outside of the cluster"
        assert (results["Secret"], "kubectl create secret generic" in checks["Secret"]["remedy"]) == ("FAIL", True)
        assert results["console"] == "FAIL"
        assert done.returncode == 1
        kubectl("create", "secret", "generic", "region-tick-database", "--from-literal=DATABASE_URL=x")
        assert "ok      Secret: Secret region-tick-database exists" in plugin("doctor").stdout


def test_all_namespaces(standing: Standing, kubectl: Kubectl, plugin: Plugin) -> None:
    with standing(1, **HOUR):
        other = f"{kubectl.namespace}-b"
        kubectl("create", "namespace", other)
        body = {"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}
        kubectl("apply", "-n", other, "-f", "-", stdin=json.dumps(body))
        done = plugin("status", "-A", "-o", "json")
        items = {item["namespace"]: item for item in json.loads(done.stdout)["items"]}
        assert items[kubectl.namespace]["status"]["regions"]["active"] == 1
        assert other in items
        eventually(lambda: set(namespaces(kubectl)) == {kubectl.namespace}, what="the tests before have left nothing")
        lines = plugin.succeeds("pause", "R1", "-A", "--reason", "x", "--dry-run").splitlines()
        assert f"{kubectl.namespace}/R1 paused (server dry run)" in lines
        asked = plugin("pause", "R1", "-A", "--reason", "x", stdin="n\n")
        assert (asked.returncode, f"{kubectl.namespace}/R1" in asked.stderr, suspended(kubectl)) == (1, True, set())
        kubectl("delete", "namespace", other, "--wait=false")


def namespaces(kubectl: Kubectl) -> list[str]:
    """Return the namespaces of all CronJobs. What a test leaves behind goes while the next one runs."""
    listed = kubectl("get", "cronjobs", "-A", "-o", "jsonpath={.items[*].metadata.namespace}")
    return listed.split()


def test_versions_completion_and_kubectls_list_of_plugins(plugin: Plugin) -> None:
    assert plugin.succeeds("version", "--client") == f"plugin: {VERSION}\n"
    assert plugin.succeeds("completion").startswith("#!/bin/sh\n")
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "KUBECONFIG": str(plugin.kubeconfig)}
    words = [kubectl_binary(), "__complete", "region", "res"]
    done = subprocess.run(words, env=os.environ | path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("resume\t")
