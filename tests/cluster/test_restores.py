"""After a restore: of the database, which the status remembers, and of the cluster, whose objects have a dead owner."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from region_operator.database.store import Store
from region_operator.kube.connect import connect
from region_operator.reconcile import Reconciler
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    import pytest

    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'
OF_ITS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


async def test_a_database_that_is_another_one_is_told_of_once(
    kubectl: Kubectl, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    async with connect("a test") as api, Store(lambda: database, may_migrate=True) as store:
        reconciler = Reconciler(api, store, tick_image="tick:1")
        await reconciler.reconcile(kubectl.namespace, "default")
        history = kubectl.scheduler()["status"]["databaseHistory"]
        server, _, timeline = history.partition("/")
        assert kubectl.get("events", "--field-selector", "reason=DatabaseReplaced")["items"] == []
        patch = json.dumps({"status": {"databaseHistory": f"{server}/0"}})
        kubectl("patch", "rsched", "default", "--subresource=status", "--type=merge", "-p", patch)
        for _ in range(2):
            await reconciler.reconcile(kubectl.namespace, "default")
        [event] = kubectl.get("events", "--field-selector", "reason=DatabaseReplaced")["items"]
        assert f"its timeline is {timeline} now, was 0" in event["message"]
        assert kubectl.scheduler()["status"]["databaseHistory"] == history


def without_what_a_backup_leaves_out(item: dict[str, Any]) -> dict[str, Any]:
    meta = {key: value for key, value in item["metadata"].items() if key not in OF_ITS_OWN}
    return {key: item[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": meta}


def test_cronjobs_that_are_restored_with_a_dead_owner_are_owned_again(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(3)
    with run_operator():
        eventually(lambda: kubectl.ready().get("status") == "True", what="three CronJobs", seconds=60)
        backup = [without_what_a_backup_leaves_out(item) for item in kubectl.cronjobs().values()]
    former = kubectl.scheduler()["metadata"]["uid"]
    kubectl("delete", "rsched", "default")
    eventually(lambda: not kubectl.cronjobs(), what="the cluster is lost")
    restored = [*backup, json.loads(SCHEDULER)]
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": restored}))

    def owners() -> set[tuple[str, ...]]:
        references = [item["metadata"].get("ownerReferences", []) for item in kubectl.cronjobs().values()]
        return {tuple(reference["uid"] for reference in each) for each in references}

    with run_operator():
        eventually(lambda: kubectl.ready().get("status") == "True", what="ready", seconds=60)
        present = kubectl.scheduler()["metadata"]["uid"]
        assert present != former
        eventually(
            lambda: (len(kubectl.cronjobs()), owners()) == (3, {(present,)}),
            what="all three have one owner",
            seconds=60,
        )
