"""kube/apply.py on a real API server: deletions amid other changes, and our deletions beside foreign deletions."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from region_operator.database.store import Store
from region_operator.kube.api import Api
from region_operator.kube.connect import connect
from region_operator.reconcile import Reconciler
from tests.cluster.quiet import HOUR, ended_reconciles, marked, settled
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    import pytest

    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SCHEDULER = {
    "apiVersion": "region-tick.dev/v1alpha1",
    "kind": "RegionScheduler",
    "metadata": {"name": "default"},
    "spec": {"deletionGuard": {"maxPercent": 100}},
}


@asynccontextmanager
async def reconciling(database: str, before_delete: Callable[[str], object]) -> AsyncIterator[Reconciler]:
    """Reconcile by hand; each path that is to be deleted is handed over the moment before."""

    class Raced(Api):
        async def delete(self, path: str, **keywords: Any) -> datetime | None:
            before_delete(path.rpartition("/")[2])
            return await super().delete(path, **keywords)

    async with connect("test") as api, Store(lambda: database, may_migrate=False) as store:
        yield Reconciler(Raced(api._client), store, tick_image="tick")


def conditions(kubectl: Kubectl) -> set[str]:
    return {condition["type"] for condition in kubectl.scheduler()["status"]["conditions"]}


async def test_a_cronjob_that_changes_before_it_is_deleted_is_looked_at_again(
    kubectl: Kubectl,
    database: str,
    sql: Any,
    add_regions: AddRegions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    caplog.set_level("INFO")
    kubectl("create", "-f", "-", stdin=json.dumps(SCHEDULER))
    add_regions(3)
    edits = [("label", "team=a"), ("annotate", "region-tick.dev/paused=true")]

    def edit(name: str) -> None:
        if edits:
            verb, text = edits.pop()
            kubectl(verb, "cronjob", name, text)

    async with reconciling(database, edit) as reconciler:
        ended = await reconciler.reconcile(kubectl.namespace, "default")
        assert ended is not None
        assert ended.unfinished == ""
        sql("DELETE FROM region_index WHERE code = 'R1'")
        for _ in range(2):
            ended = await reconciler.reconcile(kubectl.namespace, "default")
            assert ended is not None
            assert "1 had changed meanwhile" in ended.unfinished
            assert ended.unfinished in kubectl.ready()["message"]
            assert len(kubectl.cronjobs()) == 3
        ended = await reconciler.reconcile(kubectl.namespace, "default")
        assert ended is not None
        assert ended.unfinished == ""
        assert kubectl.ready()["message"] == "2 of 2 active regions are scheduled"
        assert kubectl.cronjobs().keys() == {"R2", "R3"}
    events = [record.message for record in caplog.records]
    assert [events.count(event) for event in ("changed meanwhile", "removed", "change failed")] == [2, 1, 0]


async def test_one_that_somebody_deleted_first_is_done(
    kubectl: Kubectl,
    database: str,
    sql: Any,
    add_regions: AddRegions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    caplog.set_level("INFO")
    kubectl("create", "-f", "-", stdin=json.dumps(SCHEDULER))
    add_regions(2)
    async with reconciling(database, lambda name: kubectl("delete", "cronjob", name)) as reconciler:
        await reconciler.reconcile(kubectl.namespace, "default")
        sql("DELETE FROM region_index WHERE code = 'R1'")
        ended = await reconciler.reconcile(kubectl.namespace, "default")
        assert ended is not None
        assert ended.unfinished == ""
    assert [record.message for record in caplog.records].count("gone already") == 1


def test_many_deletions_cost_one_reconcile_and_are_nobody_elses(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    count = 300
    add_regions(count)
    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=count)
        widen = json.dumps({"spec": SCHEDULER["spec"]})
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", widen)
        marked(kubectl)
        before = ended_reconciles(operator, kubectl, control_plane)
        sql("DELETE FROM region_index")
        eventually(lambda: len(operator.logged("removed")) == count, what="they are deleted", seconds=60)
        eventually(lambda: not kubectl.cronjobs(), what="they are gone", seconds=60)
        add_regions(["new"])
        eventually(lambda: kubectl.cronjobs().keys() == {"new"}, what="what came after them is seen")
        eventually(lambda: operator.reconciles >= before + 2, what="the reconcile ends")
        assert operator.reconciles == before + 2
        assert operator.logged("deleted by another") == []


def test_a_region_that_is_back_before_its_cronjob_is_gone_gets_a_new_one(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        old = settled(operator, kubectl, regions=1)["R1"]["metadata"]
        stay = json.dumps({"metadata": {"finalizers": ["example.com/stay"]}})
        kubectl("patch", "cronjob", old["name"], "--type", "merge", "--patch", stay)
        sql("UPDATE region_index SET active = false")
        eventually(lambda: operator.logged("removed"), what="it is deleted")
        sql("UPDATE region_index SET active = true")
        eventually(lambda: "wait until" in kubectl.ready()["message"], what="the status says what it waits for")
        assert conditions(kubectl) == {"Ready", "Reconciling"}
        leave = json.dumps({"metadata": {"finalizers": None}})
        kubectl("patch", "cronjob", old["name"], "--type", "merge", "--patch", leave)
        new = eventually(lambda: kubectl.cronjobs().get("R1"), what="a new one")
        assert new["metadata"]["uid"] != old["uid"]
        assert operator.logged("deleted by another") == []
        eventually(lambda: kubectl.ready()["message"] == "1 of 1 active regions are scheduled", what="the status")
        assert conditions(kubectl) == {"Ready"}
