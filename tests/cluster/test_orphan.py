"""spec.deletionPolicy on a real API server: what outlives its RegionScheduler, and whose it is afterwards."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from region_operator.cronjobs.labels import cronjob_name
from region_operator.scheduler import API_VERSION, KIND
from tests.cluster.guard import approve, held
from tests.harness.audit import audit_lines, sent_by
from tests.harness.examples import PARIS
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster
    from tests.cluster.conftest import Command
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

REGIONS = 3
LATE = {"BOOTSTRAP": "false", "REGION_REFRESH_INTERVAL_MS": "3600000"}


def manifest(**spec: Any) -> str:
    return json.dumps({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "default"}, "spec": spec})


def create(kubectl: Kubectl, **spec: Any) -> None:
    kubectl("create", "-f", "-", stdin=manifest(**spec))
    wait_until_followed(kubectl)


def switch(kubectl: Kubectl, policy: str) -> None:
    kubectl("patch", "rsched", "default", "--type=merge", "-p", json.dumps({"spec": {"deletionPolicy": policy}}))
    wait_until_followed(kubectl)


def wait_until_followed(kubectl: Kubectl) -> None:
    """Wait as a person does, who wants to know that an edit is in force."""

    def is_followed() -> bool:
        body, ready = kubectl.scheduler(), kubectl.ready()
        return ready.get("status") == "True" and ready["observedGeneration"] == body["metadata"]["generation"]

    eventually(is_followed, what="the edit is followed", seconds=60)


def delete_and_let_the_collector_run(kubectl: Kubectl) -> None:
    """Delete the RegionScheduler, and wait until the garbage collector has taken what the RegionScheduler owned."""
    owner = kubectl.scheduler()
    reference = {"apiVersion": API_VERSION, "kind": KIND, "name": "default", "uid": owner["metadata"]["uid"]}
    canary = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "canary", "ownerReferences": [reference]}}
    kubectl("create", "-f", "-", stdin=json.dumps(canary))
    kubectl("delete", "rsched", "default")
    gone = ("get", "configmap", "canary")
    eventually(lambda: kubectl.fails(*gone), what="the collector has been there", seconds=60)


def owners(kubectl: Kubectl) -> set[str]:
    """Return the uids of the owners of the CronJobs and of the quota; "" stands for nobody."""
    items = [*kubectl.cronjobs().values(), kubectl.get("resourcequota", "region-tick")]
    references = [item["metadata"].get("ownerReferences", [{"uid": ""}]) for item in items]
    return {owner["uid"] for each in references for owner in each}


@contextmanager
def written(cluster: LocalCluster, kubectl: Kubectl) -> Iterator[list[str]]:
    """Give the names of the CronJobs and quotas that the operator writes within the block, once for each request."""
    names: list[str] = []
    mark = cluster.audit_log.stat().st_size
    yield names
    eventually(lambda: audit_lines(cluster, kubectl.namespace, since=mark), what="the audit log")
    names += [
        line["objectRef"]["name"]
        for line in audit_lines(cluster, kubectl.namespace, since=mark)
        if sent_by(line) and line["objectRef"]["resource"] in ("cronjobs", "resourcequotas")
    ]


def test_what_is_orphaned_ticks_on_and_is_adopted_without_a_write(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    with run_operator(**LATE):
        create(kubectl)
        ours = sorted([item["metadata"]["name"] for item in kubectl.cronjobs().values()] + ["region-tick"])
        assert owners(kubectl) == {kubectl.scheduler()["metadata"]["uid"]}

        with written(control_plane, kubectl) as names:
            switch(kubectl, "Orphan")
        assert sorted(names) == ours  # one write for each
        assert owners(kubectl) == {""}
        assert all(item["spec"]["suspend"] is False for item in kubectl.cronjobs().values())

        delete_and_let_the_collector_run(kubectl)
        assert (len(kubectl.cronjobs()), owners(kubectl)) == (REGIONS, {""})

        with written(control_plane, kubectl) as names:
            create(kubectl, deletionPolicy="Orphan")
        assert names == []

        with written(control_plane, kubectl) as names:
            switch(kubectl, "Delete")
        assert sorted(names) == ours
        assert owners(kubectl) == {kubectl.scheduler()["metadata"]["uid"]}
        delete_and_let_the_collector_run(kubectl)
        eventually(
            lambda: not kubectl.cronjobs() and not kubectl.get("resourcequotas")["items"],
            what="all it owns is collected",
        )


def test_a_sync_that_deletes_and_makes_anew_stops_nothing(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    """As Argo CD does with Force=true,Replace=true, twice in a sync."""
    add_regions(REGIONS)
    with run_operator(**LATE) as operator:
        create(kubectl, deletionPolicy="Orphan")
        with written(control_plane, kubectl) as names:
            for _ in range(2):
                kubectl("replace", "--force", "-f", "-", stdin=manifest(deletionPolicy="Orphan"))
            wait_until_followed(kubectl)
        assert (names, len(kubectl.cronjobs())) == ([], REGIONS)
        eventually(lambda: operator.get("/readyz")[0] == 200, what="ready")


def test_the_next_one_adopts_with_another_policy_and_leaves_foreign_cronjobs_alone(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    foreign = (cronjob_name(PARIS), "backup")  # with a name like ours, and with any name
    for name in foreign:
        kubectl("create", "cronjob", name, "--image=other", "--schedule=@daily")
    before = {name: kubectl.get("cronjob", name)["metadata"]["resourceVersion"] for name in foreign}
    with run_operator(**LATE):
        create(kubectl, deletionPolicy="Orphan")
        delete_and_let_the_collector_run(kubectl)
        uids = {item["metadata"]["uid"] for item in kubectl.cronjobs().values()}
        create(kubectl)
        assert owners(kubectl) == {kubectl.scheduler()["metadata"]["uid"]}
        assert {item["metadata"]["uid"] for item in kubectl.cronjobs().values()} == uids
    assert {name: kubectl.get("cronjob", name)["metadata"]["resourceVersion"] for name in foreign} == before


def test_one_that_is_made_again_is_no_way_past_the_guard(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(20)
    with run_operator(**LATE):
        create(kubectl, deletionPolicy="Orphan")
        sql("DELETE FROM region_index WHERE code = 'R1'")
        eventually(lambda: len(kubectl.cronjobs()) == 19, what="one may go", seconds=60)
        delete_and_let_the_collector_run(kubectl)
        sql("DELETE FROM region_index WHERE code = 'R2'")
        create(kubectl, deletionPolicy="Orphan")
        condition = eventually(lambda: held(kubectl), what="not even one may go", seconds=60)
        assert "younger than its CronJobs" in condition["message"]
        assert (len(kubectl.cronjobs()), "unknownBefore" in kubectl.scheduler()["status"]) == (19, True)
        approve(kubectl)
        eventually(lambda: len(kubectl.cronjobs()) == 18, what="it was approved", seconds=60)


def test_one_that_never_reconciled_has_no_memory_either(
    run_operator: RunOperator, kubectl: Kubectl, database: str, sql: Any, add_regions: AddRegions
) -> None:
    """Its status has conditions then."""
    add_regions(3)
    with run_operator(**LATE) as operator:
        create(kubectl, deletionPolicy="Orphan")
        delete_and_let_the_collector_run(kubectl)
        sql("ALTER TABLE region_index RENAME TO elsewhere")
        kubectl("create", "-f", "-", stdin=manifest(deletionPolicy="Orphan"))
        eventually(lambda: kubectl.ready().get("reason") == "SourceUnreadable", what="a failure", seconds=60)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DELETE FROM elsewhere WHERE code = 'R1'")
            connection.execute("ALTER TABLE elsewhere RENAME TO region_index")
        eventually(lambda: held(kubectl), what="the deletion is held", seconds=60)
        assert len(kubectl.cronjobs()) == 3
        assert operator.logged("removed") == []


def test_leftovers_are_listed_with_the_commands_that_remove_them(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, command: Command
) -> None:
    add_regions(REGIONS)
    kubectl("create", "cronjob", "backup", "--image=other", "--schedule=@daily")
    labels = ("app=region-tick", "app.kubernetes.io/managed-by=region-operator")
    kubectl("label", "cronjob", "backup", *labels)  # somebody's, with all our labels
    with run_operator(**LATE) as operator:
        create(kubectl, deletionPolicy="Orphan")
        assert command("leftovers").returncode == 0
        delete_and_let_the_collector_run(kubectl)
        assert operator.stop() == 0
    done = command("leftovers")
    assert done.returncode == 2, done.stderr
    assert f"namespace {kubectl.namespace} has no RegionScheduler default" in done.stdout
    for line in done.stdout.splitlines():
        if line.startswith("kubectl"):
            kubectl(*line.split()[1:])
    going = {"deletionTimestamp"}
    metas = [item["metadata"] for item in kubectl.get("cronjobs")["items"]]
    assert [meta["name"] for meta in metas if not going & meta.keys()] == ["backup"]
    assert kubectl.get("resourcequotas")["items"] == []
    assert command("leftovers").returncode == 0
