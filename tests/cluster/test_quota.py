"""kube/quota.py on a real API server: changes to our ResourceQuota are undone, a foreign quota is left alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.aio.client import ApiException

from region_operator.kube.connect import connect
from region_operator.kube.quota import apply_quota, read_quota
from tests.cluster.quiet import HOUR, marked, settled
from tests.harness.audit import audit_lines, sent_by
from tests.harness.examples import scheduler
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl

NAME = "region-tick"
OTHER_CLASS = {"scopeName": "PriorityClass", "operator": "In", "values": ["another"]}

EDITS = [
    pytest.param({"spec": {"hard": {"pods": "100"}}}, "kubectl-patch", id="more pods"),
    pytest.param({"spec": {"hard": {"pods": None}}}, "unknown", id="no cap"),
    pytest.param({"spec": {"hard": {"count/jobs.batch": "1"}}}, "kubectl-patch", id="another limit"),
    pytest.param({"spec": {"scopeSelector": {"matchExpressions": [OTHER_CLASS]}}}, "kubectl-patch", id="other pods"),
    pytest.param({"metadata": {"labels": None, "ownerReferences": None}}, "unknown", id="unmarked"),
]


def of(kubectl: Kubectl) -> dict[str, Any]:
    quota: dict[str, Any] = kubectl.get("resourcequota", NAME)
    return {key: quota["metadata"].get(key) for key in ("labels", "ownerReferences")} | {"spec": quota["spec"]}


def writes(cluster: LocalCluster, kubectl: Kubectl, *, since: int) -> list[str]:
    lines = audit_lines(cluster, kubectl.namespace, since=since)
    return [line["verb"] for line in lines if sent_by(line) and "/resourcequotas" in line["requestURI"]]


@pytest.mark.parametrize(("edit", "manager"), EDITS)
def test_an_edit_is_undone_at_the_next_reconcile_and_its_author_named(
    run_operator: RunOperator,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    edit: dict[str, Any],
    manager: str,
) -> None:
    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=0)
        before = of(kubectl)
        kubectl("patch", "resourcequota", NAME, "--type", "merge", "--patch", json.dumps(edit))
        marked(kubectl)
        assert of(kubectl) == before
        [line] = operator.logged("quota restored")
        assert line["by"].split(":")[0] == manager
        mark = control_plane.audit_log.stat().st_size
        marked(kubectl)
        assert writes(control_plane, kubectl, since=mark) == []


def test_one_that_somebody_deletes_is_made_again(run_operator: RunOperator, kubectl: Kubectl) -> None:
    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=0)
        before = of(kubectl)
        kubectl("delete", "resourcequota", NAME)
        marked(kubectl)
        assert of(kubectl) == before


def test_a_foreign_one_is_reported_and_left_alone_until_it_is_gone(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster
) -> None:
    kubectl("create", "quota", NAME, "--hard=pods=999")
    spec = kubectl.get("resourcequota", NAME)["spec"]
    mark = control_plane.audit_log.stat().st_size
    with run_operator(**HOUR) as operator:
        eventually(lambda: kubectl.ready().get("reason") == "QuotaTaken", what="the status")
        assert kubectl.ready()["status"] == "True"
        assert "not capped at 4: delete that one" in kubectl.ready()["message"]
        marked(kubectl)
        assert len(operator.logged("quota not ours")) == 1
        assert len([event for event in kubectl.get("events")["items"] if event["reason"] == "QuotaTaken"]) == 1
        assert kubectl.get("resourcequota", NAME)["spec"] == spec
        assert writes(control_plane, kubectl, since=mark) == []

        kubectl("delete", "resourcequota", NAME)
        marked(kubectl)
        assert of(kubectl)["spec"]["hard"] == {"pods": "4"}
        assert kubectl.ready()["reason"] == "InSync"
        assert operator.logged("quota ours again")


async def test_one_that_was_made_since_the_look_is_not_adopted(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    here = scheduler().model_copy(update={"namespace": kubectl.namespace})
    async with connect("test") as api:
        looked = await read_quota(api, here)
        assert (looked.taken, looked.drifted) == (False, True)
        kubectl("create", "quota", NAME, "--hard=pods=999")
        with pytest.raises(ApiException, match="409"):
            await apply_quota(api, looked)
        assert (await read_quota(api, here)).taken
    assert kubectl.get("resourcequota", NAME)["spec"]["hard"] == {"pods": "999"}
