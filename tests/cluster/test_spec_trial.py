"""spec_trial.py on a real API server: a spec.tick that the API server refuses harms no CronJob and holds up no row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.spec_trial import TRIES
from tests.cluster.quiet import HOUR
from tests.harness.audit import audit_lines, sent_by
from tests.harness.regions import ONCE_A_YEAR
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.cluster.conftest import Standing
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

REFUSED: dict[str, dict[str, Any]] = {
    "more requested than allowed": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
    "no such volume": {"volumeMounts": [{"name": "absent", "mountPath": "/absent"}]},
    "a field that is none": {"affinity": {"nodeAffinityy": {}}},
    "a value of another kind": {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": [1]}}]},
    "no image": {"initContainers": [{"name": "sidecar"}]},
}
UNKNOWN = {"a field that is none", "a value of another kind"}
"""What no policy can be the cause of."""
BAD = REFUSED["no such volume"]


def edit(kubectl: Kubectl, tick: dict[str, Any] | None) -> None:
    kubectl("patch", "rsched", "default", "--type", "merge", "--patch", json.dumps({"spec": {"tick": tick}}))


def is_refused(kubectl: Kubectl) -> bool:
    stalled, ready = kubectl.condition("Stalled"), kubectl.ready()
    return (stalled.get("status"), ready.get("status"), ready.get("reason")) == ("True", "False", "InvalidSpec")


def revisions(kubectl: Kubectl) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl.get("controllerrevisions")["items"]
    return sorted(found, key=lambda revision: int(revision["revision"]))


def requests(cluster: LocalCluster, kubectl: Kubectl, kind: str, *, since: int = 0) -> list[tuple[str, int]]:
    """Return name and status of the answer of each write to objects of a kind."""
    lines = audit_lines(cluster, kubectl.namespace, since=since)
    return [
        (line["objectRef"].get("name", ""), line["responseStatus"]["code"])
        for line in lines
        if sent_by(line) and line["objectRef"]["resource"] == kind
    ]


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_at_the_first_install_writes_nothing(
    what: str, run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    body = {"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}
    kubectl("create", "-f", "-", stdin=json.dumps(body | {"spec": {"tick": REFUSED[what]}}))
    add_regions(20)
    with run_operator(BOOTSTRAP="false", **HOUR):
        eventually(lambda: is_refused(kubectl), what="InvalidSpec")
        tried = {name for name, _ in requests(control_plane, kubectl, "cronjobs")}
        assert len(tried) == (1 if what in UNKNOWN else TRIES)
        assert kubectl.get("cronjobs,resourcequotas,controllerrevisions")["items"] == []
        kubectl("patch", "rsched", "default", "--type=json", "--patch", '[{"op": "remove", "path": "/spec/tick"}]')
        eventually(lambda: kubectl.ready().get("reason") == "InSync", what="all is well", seconds=60)
        assert len(kubectl.cronjobs()) == 20
        assert not kubectl.condition("Stalled")


def test_rows_go_on_with_the_last_good_one_through_restarts(
    standing: Standing, run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    with standing(10, **HOUR):
        edit(kubectl, {"env": [{"name": "GENERATION", "value": "2"}]})
        eventually(lambda: len(revisions(kubectl)) == 2, what="one old, one new")
        eventually(lambda: {generation(item) for item in kubectl.cronjobs().values()} == {"2"}, what="the edit is done")
        eventually(kubectl.is_observed, what="the status says so")
        mark = control_plane.audit_log.stat().st_size
        edit(kubectl, BAD)
        eventually(lambda: is_refused(kubectl), what="InvalidSpec")
        assert [code for _, code in requests(control_plane, kubectl, "cronjobs", since=mark)] == [422] * TRIES
        change_rows(kubectl, sql, added="X1", changed="R1", removed="R2")
    with run_operator(**HOUR):
        change_rows(kubectl, sql, added="X2", changed="R3", removed="R4")
        assert is_refused(kubectl)
        assert "absent" in kubectl.ready()["message"]
        edit(kubectl, {"volumeMounts": None, "env": [{"name": "GENERATION", "value": "3"}]})
        eventually(lambda: kubectl.ready().get("reason") == "InSync", what="all is well")
        assert {generation(cronjob) for cronjob in kubectl.cronjobs().values()} == {"3"}
        assert len(revisions(kubectl)) == 2


@pytest.mark.parametrize("lost", ["missing", "unreadable"])
def test_without_the_last_good_one_edits_of_rows_wait(
    lost: str, standing: Standing, kubectl: Kubectl, sql: Any
) -> None:
    with standing(3, **HOUR) as operator:
        if lost == "unreadable":
            [last] = revisions(kubectl)
            other = last | {"revision": 7, "data": {"tick": {"timeout": "never"}}}
            other["metadata"] = {key: last["metadata"][key] for key in ("labels", "ownerReferences")} | {
                "name": "other"
            }
            kubectl("create", "-f", "-", stdin=json.dumps(other))
        else:
            kubectl("delete", "controllerrevisions", "--all")
        edit(kubectl, BAD)
        eventually(lambda: "the last good one is lost" in kubectl.ready()["message"], what="InvalidSpec")
        sql("UPDATE region_index SET cron_schedule = '7 0 * * *' WHERE code = 'R1'")
        failures = operator.metric("region_operator_reconciles_total", reason="InvalidSpec")
        eventually(
            lambda: operator.metric("region_operator_reconciles_total", reason="InvalidSpec") > failures + 1,
            what="it is looked at again",
        )
        assert kubectl.cronjobs()["R1"]["spec"]["schedule"] == ONCE_A_YEAR
        edit(kubectl, {"volumeMounts": None})
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == "7 0 * * *", what="the edit shows")
        eventually(lambda: not kubectl.condition("Stalled"), what="all is well")


def test_a_revision_that_a_former_regionscheduler_left_behind_takes_nobodys_place(
    standing: Standing, kubectl: Kubectl
) -> None:
    """It has the number and the spec.tick that the new RegionScheduler's first revision has. It has lost its owner."""
    with standing(1, **HOUR):
        [former] = revisions(kubectl)
        kubectl("delete", "rsched", "default")
        eventually(lambda: not revisions(kubectl), what="its revision goes with it", seconds=90)
        former["metadata"] = {key: former["metadata"][key] for key in ("name", "labels")}
        kubectl("create", "-f", "-", stdin=json.dumps(former))
        body = {"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}
        kubectl("create", "-f", "-", stdin=json.dumps(body))
        both = eventually(lambda: found if len(found := revisions(kubectl)) == 2 else None, what="one of its own")
        [own] = [revision for revision in both if revision["metadata"]["name"] != former["metadata"]["name"]]
        [owner] = own["metadata"]["ownerReferences"]
        assert owner["uid"] == kubectl.scheduler()["metadata"]["uid"]
        assert (own["revision"], own["data"]) == (former["revision"], former["data"])


def change_rows(kubectl: Kubectl, sql: Any, *, added: str, changed: str, removed: str) -> None:
    """Add, change and delete a row, and wait until all of it shows, with the last good spec.tick."""
    sql("INSERT INTO region_index (code, name, cron_schedule) VALUES (%s, 'x', %s)", added, ONCE_A_YEAR)
    sql("UPDATE region_index SET cron_schedule = '7 0 * * *' WHERE code = %s", changed)
    sql("DELETE FROM region_index WHERE code = %s", removed)
    eventually(lambda: added in kubectl.cronjobs(), what="a new row")
    eventually(lambda: kubectl.cronjobs()[changed]["spec"]["schedule"] == "7 0 * * *", what="an edited row")
    eventually(lambda: removed not in kubectl.cronjobs(), what="a deleted row")
    assert {generation(cronjob) for cronjob in kubectl.cronjobs().values()} == {"2"}


def generation(cronjob: dict[str, Any]) -> str:
    [container] = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return next((str(item["value"]) for item in container["env"] if item["name"] == "GENERATION"), "1")
