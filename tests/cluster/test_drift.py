"""kube/put.py and cronjobs/ownership.py on a real API server: the operator undoes foreign changes to CronJobs.

The refresh interval is an hour in all tests, so only the watch can bring a CronJob back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.cronjobs.labels import cronjob_name
from region_operator.cronjobs.render import render_cronjob
from region_operator.kube.apply import PlanApplier
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import CronJobWatch
from region_operator.plan.changes import ChangeReason, Desired, Plan, Write
from region_operator.regions.schedule import parse_schedule
from tests.cluster.quiet import HOUR, ended_reconciles, marked, settled
from tests.harness.audit import audit_lines, sent_by
from tests.harness.examples import PARIS, scheduler
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions


def shape(cronjob: dict[str, Any]) -> dict[str, Any]:
    """Return what a CronJob is but for its history."""
    meta = cronjob["metadata"]
    owners = [owner["uid"] for owner in meta.get("ownerReferences", [])]
    return {"spec": cronjob["spec"], "labels": meta.get("labels"), "annotations": meta["annotations"], "owners": owners}


def requests_about(cluster: LocalCluster, kubectl: Kubectl, name: str, *, since: int) -> list[str]:
    """Return the verbs of the operator's own writes to a CronJob."""
    lines = audit_lines(cluster, kubectl.namespace, since=since)
    return [line["verb"] for line in lines if sent_by(line) and f"/cronjobs/{name}" in line["requestURI"]]


def pod_patch(pod: dict[str, Any]) -> str:
    return json.dumps({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}})


def merge(patch: dict[str, Any]) -> Callable[[Kubectl, str], object]:
    return lambda kubectl, name: kubectl("patch", "cronjob", name, "--type", "merge", "--patch", json.dumps(patch))


def strategic(pod: dict[str, Any]) -> Callable[[Kubectl, str], object]:
    return lambda kubectl, name: kubectl("patch", "cronjob", name, "--patch", pod_patch(pod))


def add_variables(*names: str) -> Callable[[Kubectl, str], object]:
    """Append variables, as a JSON patch does: also beside a variable of the same name."""
    path = "/spec/jobTemplate/spec/template/spec/containers/0/env/-"
    patch = [{"op": "add", "path": path, "value": {"name": name, "value": "theirs"}} for name in names]
    return lambda kubectl, name: kubectl("patch", "cronjob", name, "--type", "json", "--patch", json.dumps(patch))


def run(*arguments: str) -> Callable[[Kubectl, str], object]:
    return lambda kubectl, name: kubectl(*[argument.replace("NAME", name) for argument in arguments])


def replaced(kubectl: Kubectl, name: str) -> None:
    body = kubectl.get("cronjob", name)
    body["spec"]["concurrencyPolicy"] = "Allow"
    kubectl("replace", "-f", "-", stdin=json.dumps(body))


def applied_by_force(kubectl: Kubectl, name: str) -> None:
    body = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": "0 0 2 1 *", "jobTemplate": {"spec": {"parallelism": 2}}},
    }
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(body))


ELSEWHERE = {"name": "REGION_CODE", "value": None, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
MUCH = {
    "initContainers": [{"name": "init", "image": "x"}],
    "volumes": [{"name": "v", "emptyDir": {}}],
    "dnsPolicy": "Default",
}
UNMARKED: dict[str, Any] = {"metadata": {"labels": None, "ownerReferences": None}}
OVERWRITE = ("--overwrite", "cronjob", "NAME")

EDITS = [
    pytest.param(merge({"spec": {"schedule": "0 0 2 1 *"}}), "kubectl-patch", id="schedule"),
    pytest.param(merge({"spec": {"suspend": True}}), "kubectl-patch", id="suspended"),
    pytest.param(merge({"spec": {"startingDeadlineSeconds": None}}), "unknown", id="field removed"),
    pytest.param(replaced, "kubectl-replace", id="replaced"),
    pytest.param(applied_by_force, "kubectl", id="applied by force, with an addition"),
    pytest.param(run("label", "cronjob", "NAME", "app-"), "unknown", id="label removed"),
    pytest.param(run("label", *OVERWRITE, "app=x"), "kubectl-label", id="label changed"),
    pytest.param(run("label", "cronjob", "NAME", "region-tick.dev/region-"), "unknown", id="region's label removed"),
    pytest.param(merge(UNMARKED), "unknown", id="all marks removed"),
    pytest.param(run("annotate", *OVERWRITE, "region-tick.dev/code=x"), "kubectl-annotate", id="annotation changed"),
    pytest.param(run("set", "env", "cronjob/NAME", "FOO=bar"), "kubectl-set", id="variable added"),
    pytest.param(add_variables("FOO", "BAR", "FOO"), "kubectl-patch", id="variable added twice"),
    pytest.param(add_variables("REGION_CODE"), "kubectl-patch", id="variable of ours added again"),
    pytest.param(run("set", "env", "cronjob/NAME", "REGION_CODE=x"), "kubectl-set", id="variable changed"),
    pytest.param(run("set", "env", "cronjob/NAME", "REGION_CODE-"), "unknown", id="variable removed"),
    pytest.param(strategic({"containers": [{"name": "side", "image": "x"}]}), "kubectl-patch", id="container added"),
    pytest.param(strategic(MUCH), "kubectl-patch", id="much added"),
    pytest.param(
        strategic({"containers": [{"name": "tick", "env": [ELSEWHERE]}]}), "kubectl-patch", id="variable from elsewhere"
    ),
]


@pytest.mark.parametrize(("edit", "manager"), EDITS)
def test_an_edit_is_undone_and_its_author_named(
    run_operator: RunOperator,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    add_regions: AddRegions,
    edit: Callable[[Kubectl, str], object],
    manager: str,
) -> None:
    add_regions(2)
    with run_operator(**HOUR) as operator:
        before = settled(operator, kubectl, regions=2)
        name = before["R1"]["metadata"]["name"]
        mark = control_plane.audit_log.stat().st_size
        edit(kubectl, name)
        [line] = eventually(lambda: operator.logged("restored"), what="it is undone")
        assert shape(kubectl.get("cronjob", name)) == shape(before["R1"])
        assert kubectl.get("cronjob", name)["metadata"]["uid"] == before["R1"]["metadata"]["uid"]
        assert line["region.code"] == "R1"
        assert line["by"].split(":")[0] == manager
        assert "fields" in line or manager == "unknown"
        assert len(requests_about(control_plane, kubectl, name, since=mark)) <= 4
        assert kubectl.cronjobs()["R2"]["metadata"]["resourceVersion"] == before["R2"]["metadata"]["resourceVersion"]

        mark = control_plane.audit_log.stat().st_size
        marked(kubectl)
        assert requests_about(control_plane, kubectl, name, since=mark) == []


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_a_deleted_cronjob_is_made_again(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, cascade: str
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        before = settled(operator, kubectl, regions=1)["R1"]
        kubectl("delete", "cronjob", before["metadata"]["name"], f"--cascade={cascade}")
        eventually(lambda: operator.logged("deleted by another"), what="it is said")
        eventually(lambda: "R1" in kubectl.cronjobs(), what="it is back")
        assert shape(kubectl.cronjobs()["R1"]) == shape(before)


def test_what_a_tick_writes_causes_no_reconcile(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    add_regions(2)
    with run_operator(**HOUR) as operator:
        before = settled(operator, kubectl, regions=2)
        reconciles = ended_reconciles(operator, kubectl, control_plane)
        for number in range(10):
            status = json.dumps({"status": {"lastScheduleTime": f"2026-11-24T06:{number:02}:00Z"}})
            for code in ("R1", "R2"):
                name = before[code]["metadata"]["name"]
                kubectl("patch", "cronjob", name, "--subresource", "status", "--type", "merge", "--patch", status)
        kubectl("label", "cronjob", before["R2"]["metadata"]["name"], "team=a")
        kubectl("label", "cronjob", before["R2"]["metadata"]["name"], "app-")
        eventually(lambda: operator.logged("restored"), what="the watch sees an edit that came after them")
        assert operator.reconciles - reconciles <= 2
        assert kubectl.cronjobs()["R2"]["metadata"]["labels"]["team"] == "a"


def test_who_sets_what_we_set_is_no_intruder(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        before = settled(operator, kubectl, regions=1)["R1"]
        name = before["metadata"]["name"]
        mark = control_plane.audit_log.stat().st_size
        same = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}}
        same["spec"] = {key: before["spec"][key] for key in ("schedule", "suspend", "concurrencyPolicy")}
        kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(same))
        marked(kubectl)
        assert requests_about(control_plane, kubectl, name, since=mark) == []

        # the whole of it, with all defaults, which nobody but them owns and which cannot be taken away
        full = {key: before[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": name}}
        kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(full))
        eventually(
            lambda: len(requests_about(control_plane, kubectl, name, since=mark)) >= 2, what="the watch tells of it"
        )
        marked(kubectl)
        assert len(requests_about(control_plane, kubectl, name, since=mark)) == 2
        mark = control_plane.audit_log.stat().st_size
        marked(kubectl)
        assert requests_about(control_plane, kubectl, name, since=mark) == []


def test_edits_while_the_operator_was_away_are_undone(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(7)
    with run_operator(**HOUR) as operator:
        before = settled(operator, kubectl, regions=7)
        assert operator.stop() == 0
    names = {code: item["metadata"]["name"] for code, item in before.items()}
    merge({"spec": {"schedule": "0 0 2 1 *"}})(kubectl, names["R1"])
    run("set", "env", "cronjob/NAME", "FOO=bar")(kubectl, names["R2"])
    merge(UNMARKED)(kubectl, names["R3"])
    merge({"metadata": {"managedFields": [{}]}})(kubectl, names["R4"])
    kubectl("delete", "cronjob", names["R5"])
    run("label", "cronjob", "NAME", "app-")(kubectl, names["R6"])
    sql("DELETE FROM region_index WHERE code = 'R6'")
    sql("UPDATE region_index SET code = 'R3-renamed' WHERE code = 'R3'")
    with run_operator(**HOUR) as operator:
        eventually(lambda: len(operator.logged("restored")) == 3, what="they are undone")
        by = {line["region.code"]: line["by"].split(":")[0] for line in operator.logged("restored")}
        assert by == {"R1": "kubectl-patch", "R2": "kubectl-set", "R4": "unknown"}
        after = settled(operator, kubectl, regions=6)
        assert [item["metadata"]["name"] for item in after.values() if item["metadata"]["name"] == names["R6"]] == []
        assert after["R3-renamed"]["metadata"]["name"] == names["R3"]
        for code in ("R1", "R2", "R4", "R5", "R7"):
            assert shape(after[code]) == shape(before[code])
        assert after["R7"]["metadata"]["resourceVersion"] == before["R7"]["metadata"]["resourceVersion"]
        mark = control_plane.audit_log.stat().st_size
        marked(kubectl)
        assert requests_about(control_plane, kubectl, "", since=mark) == []


def test_an_upgrade_writes_each_cronjob_once(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    add_regions(20)
    with run_operator(**HOUR, TICK_IMAGE="tick:1") as operator:
        before = settled(operator, kubectl, regions=20)
        assert operator.stop() == 0
    mark = control_plane.audit_log.stat().st_size
    with run_operator(**HOUR, TICK_IMAGE="tick:2") as operator:
        settled(operator, kubectl, regions=20)
        marked(kubectl)
        assert [line["event"] for line in operator.lines if "cronjob" in line] == ["updated"] * 20
    for item in before.values():
        assert requests_about(control_plane, kubectl, item["metadata"]["name"], since=mark) == ["patch"]


def test_a_foreign_cronjob_of_the_same_name_is_reported_and_left_alone(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions([PARIS.code])
    sql("UPDATE region_index SET id = %s", PARIS.id)
    add_regions(1)
    name = cronjob_name(PARIS)
    kubectl("create", "cronjob", name, "--image", "busybox", "--schedule", "@yearly")
    version = kubectl.get("cronjob", name)["metadata"]["resourceVersion"]
    with run_operator(**HOUR) as operator:
        ready = eventually(
            lambda: kubectl.ready() if kubectl.ready().get("reason") == "RegionsQuarantined" else None,
            what="the status",
        )
        assert (ready["status"], name in ready["message"]) == ("True", True)
        assert kubectl.cronjobs().keys() == {"R1"}
        [line] = operator.logged("quarantined")
        assert (line["region.code"], name in line["reason"]) == (PARIS.code, True)
        [event] = [event for event in kubectl.get("events")["items"] if event["reason"] == "RegionQuarantined"]
        assert name in event["message"]
        marked(kubectl)
        assert kubectl.get("cronjob", name)["metadata"]["resourceVersion"] == version

        kubectl("delete", "cronjob", name)
        eventually(lambda: kubectl.cronjobs().keys() == {"R1", PARIS.code}, what="its end makes way")
        eventually(lambda: kubectl.ready()["reason"] == "InSync", what="the status is well again")


async def test_a_creation_adopts_nothing_that_was_made_since_the_listing(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    name = cronjob_name(PARIS)
    kubectl("create", "cronjob", name, "--image", "busybox", "--schedule", "@yearly")
    desired = Desired(PARIS, parse_schedule(PARIS.cron_schedule))
    here = scheduler().model_copy(update={"namespace": kubectl.namespace})
    manifest = render_cronjob(PARIS, desired.schedule, here, name=name, tick_image="tick", suspended_by=None)
    manifest["metadata"].pop("ownerReferences")  # the owner is none, so it would be collected
    plan = Plan(writes=(Write(ChangeReason.ADDED, desired, name),))

    def render(_desired: Desired, _name: str) -> dict[str, Any]:
        return manifest

    async with connect("test") as api:
        watch = CronJobWatch(api)
        applier = PlanApplier(api, watch, plan, namespace=kubectl.namespace, render=render)
        assert (await applier.run()).stale == 1  # is to be decided anew
        assert [live.ours for live in watch.cache.cronjobs] == [False], "it is known at once"
        assert kubectl.get("cronjob", name)["spec"]["schedule"] == "@yearly"
        kubectl("delete", "cronjob", name)
        applied = await PlanApplier(api, watch, plan, namespace=kubectl.namespace, render=render).run()
        assert applied.error is None
    assert kubectl.get("cronjob", name)["spec"]["schedule"] == PARIS.cron_schedule


def test_a_copy_of_ours_is_somebody_elses(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        copy = settled(operator, kubectl, regions=1)["R1"]
        copy["metadata"] = {key: copy["metadata"][key] for key in ("labels", "annotations")} | {"name": "copy"}
        kubectl("create", "-f", "-", stdin=json.dumps(copy))
        version = kubectl.get("cronjob", "copy")["metadata"]["resourceVersion"]
        sql("DELETE FROM region_index")
        eventually(lambda: operator.logged("removed"), what="ours is gone")
        marked(kubectl)
        assert kubectl.get("cronjob", "copy")["metadata"]["resourceVersion"] == version


def test_an_annotation_pauses_one_region(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(2)
    with run_operator(**HOUR) as operator:
        name = settled(operator, kubectl, regions=2)["R1"]["metadata"]["name"]
        kubectl("annotate", "cronjob", name, "region-tick.dev/paused=true")
        eventually(lambda: kubectl.get("cronjob", name)["spec"]["suspend"], what="it is suspended")
        eventually(lambda: kubectl.scheduler()["status"]["regions"]["paused"] == 1, what="the status counts it")
        assert "PAUSED" in kubectl("get", "rsched", "--output", "wide")
        [line] = operator.logged("paused")
        assert line["region.code"] == "R1"
        assert not kubectl.cronjobs()["R2"]["spec"]["suspend"]
        mark = control_plane.audit_log.stat().st_size
        marked(kubectl)
        assert requests_about(control_plane, kubectl, name, since=mark) == []

        sql("UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R1'")
        eventually(lambda: kubectl.get("cronjob", name)["spec"]["schedule"] == "@hourly", what="it follows the table")
        assert kubectl.get("cronjob", name)["spec"]["suspend"]
        kubectl("annotate", "cronjob", name, "region-tick.dev/paused-")
        eventually(lambda: not kubectl.get("cronjob", name)["spec"]["suspend"], what="it is resumed")
        eventually(lambda: operator.logged("resumed"), what="it is told")
        eventually(lambda: kubectl.scheduler()["status"]["regions"]["paused"] == 0, what="the status counts none")
