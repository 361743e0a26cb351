"""The deletion guard on a real control plane: however a table loses its rows, no more regions go than may."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator.api import connect
from region_operator.database.store import Store
from region_operator.failures import ReconcileError
from region_operator.observe import observe
from region_operator.reconcile import Reconciler
from tests.cluster.audit import audit_lines, is_renewal, sent_by
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.local import LocalCluster
    from region_operator.observe import Observation
    from tests.cluster.conftest import RunOperator
    from tests.cluster.kubectl import Kubectl
    from tests.cluster.operator_process import OperatorProcess

EVERY_SECOND = {"REGION_REFRESH_INTERVAL_MS": "1000"}

SCHEDULER = """
apiVersion: region-tick.dev/v1alpha1
kind: RegionScheduler
metadata: {name: default}
"""

INSERT = (
    "INSERT INTO region_index (id, code, name, cron_schedule)"
    " SELECT md5(n::text)::uuid, 'R' || n, 'Region ' || n, '0 0 1 1 *' FROM generate_series(%s::int, %s::int) n"
)


def deletes(cluster: LocalCluster, kubectl: Kubectl) -> set[str]:
    """Return the CronJobs that the API server deleted because the operator asked for it."""
    return {
        line["objectRef"]["name"]
        for line in audit_lines(cluster, kubectl.namespace)
        if line["verb"] == "delete" and sent_by(line) and line["responseStatus"]["code"] == 200
    }


def held(kubectl: Kubectl) -> dict[str, Any]:
    """Return the condition DeletionsHeld, empty where it does not stand."""
    conditions = kubectl.scheduler().get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == "DeletionsHeld"), {})


def count(kubectl: Kubectl) -> int:
    return len(kubectl("get", "cronjobs", "--output", "name").splitlines())


def wait_for_count(kubectl: Kubectl, wanted: int) -> None:
    eventually(lambda: count(kubectl) == wanted, what=f"{wanted} CronJobs")


def wait_for_reconciles(operator: OperatorProcess, more: int) -> None:
    before = operator.reconciles
    eventually(lambda: operator.reconciles >= before + more, what=f"{more} reconciles")


def approve(kubectl: Kubectl) -> None:
    """Do what the condition says."""
    command = held(kubectl)["message"].rpartition("kubectl ")[2]
    kubectl(*command.split())


def test_a_truncated_table_deletes_nothing_until_it_is_approved(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    sql(INSERT, 1, 500)
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="500 CronJobs", seconds=90)
        assert count(kubectl) == 500
        before = {code: item["metadata"]["resourceVersion"] for code, item in kubectl.cronjobs().items()}

        sql("TRUNCATE region_index")
        sql(INSERT, 501, 501)
        message = eventually(lambda: held(kubectl), what="the hold is a condition")["message"]
        eventually(lambda: "R501" in kubectl.cronjobs(), what="a creation goes on")
        sql("UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R501'")
        eventually(lambda: kubectl.cronjobs()["R501"]["spec"]["schedule"] == "@hourly", what="an update goes on")
        wait_for_reconciles(operator, 1)
        mark = control_plane.audit_log.stat().st_size
        wait_for_reconciles(operator, 3)
        since = [line for line in audit_lines(control_plane, kubectl.namespace, since=mark) if not is_renewal(line)]
        assert [line["requestURI"] for line in since] == []

        after = kubectl.cronjobs()
        assert {code: after[code]["metadata"]["resourceVersion"] for code in before} == before
        assert not any(item["spec"]["suspend"] for item in after.values())
        assert kubectl.scheduler()["status"]["regions"]["held"] == 500
        assert operator.metric("region_operator_held_deletions") == 500
        events = [event for event in kubectl.get("events")["items"] if event["reason"] == "DeletionsHeld"]
        assert [(event["type"], event["message"]) for event in events] == [("Warning", message)]
        [line] = operator.logged("deletions held")
        assert line["reason"] == message
        printed = [line.split()[4] for line in kubectl("get", "rsched", "--output", "wide").splitlines()]
        assert printed == ["HELD", "500"]

        for first in range(1, 500, 50):  # in pieces: the last ones must not go as soon as they are few
            sql(INSERT, first, first + 49)
        eventually(lambda: not held(kubectl), what="the hold goes with its cause")
        wait_for_reconciles(operator, 1)
        assert kubectl.scheduler()["status"]["regions"]["held"] == 0
        assert operator.metric("region_operator_held_deletions") == 0
        assert kubectl.ready()["reason"] == "InSync"
        assert deletes(control_plane, kubectl) == set()

        sql("TRUNCATE region_index")
        eventually(lambda: held(kubectl), what="it holds again")
        approve(kubectl)
        eventually(lambda: count(kubectl) == 0, what="what was approved goes", seconds=30)
        eventually(lambda: not held(kubectl), what="the hold is over")
        wait_for_reconciles(operator, 1)
        assert len(deletes(control_plane, kubectl)) == 501
        assert "approvedDeletions" not in kubectl.scheduler()["status"]


def empty_by_truncate(sql: Any, kubectl: Kubectl) -> None:  # noqa: ARG001 - like the others
    sql("TRUNCATE region_index")


def empty_by_where(sql: Any, kubectl: Kubectl) -> None:  # noqa: ARG001 - like the others
    sql("UPDATE region_index SET active = false WHERE code <> 'no such code'")


def empty_by_view(sql: Any, kubectl: Kubectl) -> None:
    sql("CREATE VIEW current_regions AS SELECT * FROM region_index WHERE name = 'lost in a join'")
    kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"source": {"table": "current_regions"}}}')


def empty_by_another_table(sql: Any, kubectl: Kubectl) -> None:
    """As from a wrong database: the table is there, and its rows are others."""
    sql("CREATE SCHEMA staging")
    sql("CREATE TABLE staging.region_index (LIKE region_index INCLUDING ALL)")
    kubectl(
        "patch", "rsched", "default", "--type=merge", '--patch={"spec": {"source": {"table": "staging.region_index"}}}'
    )


@pytest.mark.parametrize("empty", [empty_by_truncate, empty_by_where, empty_by_view, empty_by_another_table])
def test_however_the_rows_were_lost_nothing_is_deleted(
    run_operator: RunOperator,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    sql: Any,
    empty: Callable[[Any, Kubectl], None],
) -> None:
    sql(INSERT, 1, 30)
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="30 CronJobs")
        empty(sql, kubectl)
        eventually(lambda: held(kubectl), what="it holds")
        wait_for_reconciles(operator, 3)
        assert count(kubectl) == 30
        assert deletes(control_plane, kubectl) == set()


def test_a_wrong_database_deletes_nothing(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, empty_database: str
) -> None:
    sql(INSERT, 1, 30)
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="30 CronJobs")
        assert operator.stop() == 0
    with run_operator(DATABASE_URL=empty_database, **EVERY_SECOND) as operator:
        eventually(lambda: held(kubectl), what="it holds")
        wait_for_reconciles(operator, 3)
        assert operator.stop() == 0
    assert count(kubectl) == 30
    with run_operator():
        eventually(lambda: not held(kubectl), what="the right database ends the hold")
    assert deletes(control_plane, kubectl) == set()


@pytest.mark.parametrize("regions", [2, 10])
@pytest.mark.parametrize("empty", [empty_by_truncate, empty_by_where, empty_by_another_table])
def test_a_small_table_that_is_empty_is_not_believed(
    run_operator: RunOperator,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    sql: Any,
    empty: Callable[[Any, Kubectl], None],
    regions: int,
) -> None:
    sql(INSERT, 1, regions)
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="the CronJobs")
        wait_for_count(kubectl, regions)
        empty(sql, kubectl)
        eventually(lambda: held(kubectl), what="it holds")
        wait_for_reconciles(operator, 3)
        assert count(kubectl) == regions
        assert deletes(control_plane, kubectl) == set()


def test_a_small_installation_outlives_a_wrong_database_and_what_that_brings(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, empty_database: str
) -> None:
    """Without a table at first, so that one is made; then with rows of its own, which do not end the hold."""
    sql(INSERT, 1, 3)
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="3 CronJobs")
        assert operator.stop() == 0
    with run_operator(DATABASE_URL=empty_database, **EVERY_SECOND) as operator:
        eventually(lambda: held(kubectl), what="it holds")
        with psycopg.connect(empty_database, autocommit=True) as connection:
            connection.execute(INSERT, (101, 140))
        wait_for_count(kubectl, 43)
        wait_for_reconciles(operator, 3)
        assert held(kubectl)
        assert count(kubectl) == 43
        operator.signal(signal.SIGKILL)
        operator.wait()
    with run_operator(DATABASE_URL=empty_database, **EVERY_SECOND) as operator:
        eventually(lambda: operator.reconciles >= 2, what="another process", seconds=60)
        assert count(kubectl) == 43
        assert deletes(control_plane, kubectl) == set()
        approve(kubectl)
        wait_for_count(kubectl, 40)
    assert len(deletes(control_plane, kubectl)) == 3


def test_of_two_regions_one_may_go_and_then_the_other_is_held(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    sql(INSERT, 1, 2)
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="2 CronJobs")
        sql("DELETE FROM region_index WHERE code = 'R1'")
        wait_for_count(kubectl, 1)
        sql("DELETE FROM region_index WHERE code = 'R2'")
        eventually(lambda: held(kubectl), what="the last one is held")
        wait_for_reconciles(operator, 2)
        assert kubectl.cronjobs().keys() == {"R2"}
        sql(INSERT, 2, 2)
        eventually(lambda: not held(kubectl), what="its row is back")
    assert len(deletes(control_plane, kubectl)) == 1


def test_the_only_region_may_go(run_operator: RunOperator, kubectl: Kubectl, sql: Any) -> None:
    sql(INSERT, 1, 1)
    with run_operator(**EVERY_SECOND):
        wait_for_count(kubectl, 1)
        sql("DELETE FROM region_index")
        wait_for_count(kubectl, 0)
        assert not held(kubectl)


def test_what_is_held_can_be_stopped_and_started(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    """All at once by spec.suspend, as the condition says, or one by the annotation."""
    sql(INSERT, 1, 3)
    with run_operator(**EVERY_SECOND):
        eventually(lambda: kubectl.ready().get("status") == "True", what="3 CronJobs")
        sql("UPDATE region_index SET active = false")
        message = eventually(lambda: held(kubectl), what="it holds")["message"]
        assert "to stop all and keep them, set spec.suspend" in message

        def stopped(*wanted: str) -> bool:
            return {code for code, item in kubectl.cronjobs().items() if item["spec"]["suspend"]} == set(wanted)

        name = kubectl.cronjobs()["R2"]["metadata"]["name"]
        kubectl("annotate", "cronjob", name, "region-tick.dev/paused=true")
        eventually(lambda: stopped("R2"), what="one is paused")
        kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"suspend": true}}')
        eventually(lambda: stopped("R1", "R2", "R3"), what="all are suspended")
        kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"suspend": false}}')
        eventually(lambda: stopped("R2"), what="and tick on")
        assert deletes(control_plane, kubectl) == set()


def test_a_guard_that_is_off_frees_a_hold_of_which_somebody_deleted_one(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any
) -> None:
    sql(INSERT, 1, 20)
    with run_operator(**EVERY_SECOND):
        eventually(lambda: kubectl.ready().get("status") == "True", what="20 CronJobs")
        sql("TRUNCATE region_index")
        eventually(lambda: held(kubectl), what="it holds")
        kubectl("delete", "cronjob", kubectl.cronjobs()["R7"]["metadata"]["name"])
        widen(kubectl)
        wait_for_count(kubectl, 0)
        eventually(lambda: not held(kubectl), what="the hold is over")


def test_few_deletions_go_at_once(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    sql(INSERT, 1, 30)
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="30 CronJobs")
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        sql("DELETE FROM region_index WHERE right(code, 1) = '7'")
        eventually(lambda: count(kubectl) == 27, what="three go", seconds=5)
        assert not held(kubectl)
    assert len(deletes(control_plane, kubectl)) == 3


def test_single_deletions_in_a_row_are_held_like_one_of_all(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    """Over many reconciles, over a kill between them: what went before is known from the status alone."""
    sql(INSERT, 1, 60)
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="60 CronJobs")
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        for number in range(1, 7):
            sql("DELETE FROM region_index WHERE code = %s", f"R{number}")
            wait_for_count(kubectl, 60 - number)
        operator.signal(signal.SIGKILL)
        operator.wait()
    with run_operator() as operator:
        eventually(lambda: operator.logged("listening"), what="the operator listens again", seconds=60)
        for number in range(7, 11):
            sql("DELETE FROM region_index WHERE code = %s", f"R{number}")
            wait_for_count(kubectl, 60 - number)
        for number in range(11, 61):
            sql("DELETE FROM region_index WHERE code = %s", f"R{number}")
        status = eventually(
            lambda: (status := kubectl.scheduler()["status"])["regions"]["held"] == 50 and status, what="it holds"
        )
        assert len(" ".join(entry["regions"] for entry in status["recentDeletions"]).split()) == 10
        assert len([event for event in kubectl.get("events")["items"] if event["reason"] == "DeletionsHeld"]) == 1
    assert count(kubectl) == 50
    assert len(deletes(control_plane, kubectl)) == 10


def test_a_deletion_that_fails_and_is_tried_again_counts_once(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    sql(INSERT, 1, 12)
    policy = f"no-deletes-{kubectl.namespace}"
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="12 CronJobs")
        kubectl("apply", "-f", "-", stdin=refuse_deletes(policy, kubectl.namespace))
        try:
            name = kubectl.cronjobs()["R12"]["metadata"]["name"]
            refused = lambda: "no deletes" in kubectl.fails("delete", "cronjob", name, "--dry-run=server")  # noqa: E731
            eventually(refused, what="the policy is in force")
            sql("DELETE FROM region_index WHERE code <> 'R12' AND code <> 'R11'")
            failures = "region_operator_reconciles_total"
            eventually(lambda: operator.metric(failures, reason="ApplyFailed") >= 3, what="three tries fail")
            assert len(operator.logged("not reconciled")) == 1
            assert not held(kubectl)
        finally:
            kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", policy)
        eventually(lambda: count(kubectl) == 2, what="the next try is not refused", seconds=60)
        sql("DELETE FROM region_index WHERE code = 'R11'")
        eventually(lambda: held(kubectl), what="the eleventh is held")
    assert len(deletes(control_plane, kubectl)) == 10


def refuse_deletes(name: str, namespace: str) -> str:
    """Return a policy of the API server's own that refuses to delete CronJobs in a namespace."""
    return f"""
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
    resourceRules:
      - {{apiGroups: [batch], apiVersions: [v1], operations: [DELETE], resources: [cronjobs]}}
  validations:
    - {{expression: "false", message: no deletes}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}, validationActions: [Deny]}}
"""


def widen(kubectl: Kubectl) -> None:
    kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"deletionGuard": {"maxPercent": 100}}}')


@pytest.mark.parametrize("release", [approve, widen])
def test_what_a_person_says_is_heard_at_once(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, release: Callable[[Kubectl], None]
) -> None:
    sql(INSERT, 1, 20)
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="20 CronJobs")
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        sql("TRUNCATE region_index")
        eventually(lambda: held(kubectl), what="it holds")
        release(kubectl)
        eventually(lambda: count(kubectl) == 0, what="all may go")
        eventually(lambda: not held(kubectl), what="the hold is over")


@pytest.mark.parametrize(
    "guard", ['{"maxPercent": 101}', '{"maxPercent": -1}', '{"maxCount": -1}', '{"window": "59s"}', '{"window": "1d"}']
)
def test_a_guard_that_means_nothing_is_refused(run_operator: RunOperator, kubectl: Kubectl, guard: str) -> None:
    with run_operator():
        eventually(lambda: kubectl.ready().get("status") == "True", what="a scheduler")
    patch = f'--patch={{"spec": {{"deletionGuard": {guard}}}}}'
    assert "spec.deletionGuard" in kubectl.fails("patch", "rsched", "default", "--type=merge", patch)


def replace_crd(kubectl: Kubectl, crd: dict[str, Any]) -> None:
    """Put a CustomResourceDefinition in the place of the one that is there, and wait until it is in force."""
    kubectl("patch", "crd", crd["metadata"]["name"], "--type=merge", f"--patch={json.dumps({'spec': crd['spec']})}")
    probe = "--patch=" + json.dumps({"status": {"recentDeletions": []}})
    known = "recentDeletions" in json.dumps(crd["spec"])

    def in_force() -> bool:
        answer = kubectl(
            *("patch", "rsched", "default", "--subresource=status", "--type=merge", "--dry-run=server", probe),
            "--output=json",
        )
        return ("recentDeletions" in json.loads(answer)["status"]) == known

    eventually(in_force, what="the API server follows the schema")


def test_a_status_that_forgets_lets_nothing_go(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    """As after an upgrade without the CRD: the API server drops the fields that it does not know."""
    sql(INSERT, 1, 12)
    crd = kubectl.get("crd", "regionschedulers.region-tick.dev")
    outdated = json.loads(json.dumps(crd))
    fields = outdated["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    del fields["recentDeletions"], fields["heldDeletions"]
    with run_operator(**EVERY_SECOND):
        eventually(lambda: kubectl.ready().get("status") == "True", what="12 CronJobs")
        replace_crd(kubectl, outdated)
        try:
            sql("DELETE FROM region_index WHERE code = 'R1'")
            eventually(lambda: kubectl.ready().get("reason") == "OutdatedCustomResourceDefinition", what="it is said")
            assert "kubectl apply -f crds" in kubectl.ready()["message"]
            assert count(kubectl) == 12
        finally:
            replace_crd(kubectl, crd)
        eventually(lambda: count(kubectl) == 11, what="with the right one it goes", seconds=60)
    assert len(deletes(control_plane, kubectl)) == 1


async def test_a_decision_is_written_over_what_was_read_and_nothing_else(
    kubectl: Kubectl, control_plane: LocalCluster, sql: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when two lead at once, or one was frozen: what the other has let go meanwhile must count."""
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    others = {"status": {"recentDeletions": [{"at": "2026-11-24T09:00:00Z", "regions": "0123456789ab"}]}}

    async def observe_while_another_writes(*arguments: Any, **keywords: Any) -> Observation:
        seen = await observe(*arguments, **keywords)
        kubectl("patch", "rsched", "default", "--subresource=status", "--type=merge", f"--patch={json.dumps(others)}")
        return seen

    async with connect("a test") as api, Store(lambda: database, may_migrate=True) as store:
        reconciler = Reconciler(api, store, tick_image="tick:1")
        await reconciler.reconcile(kubectl.namespace, "default")
        sql(INSERT, 1, 3)
        await reconciler.reconcile(kubectl.namespace, "default")
        assert count(kubectl) == 3
        sql("DELETE FROM region_index WHERE code = 'R1'")
        monkeypatch.setattr("region_operator.reconcile.observe", observe_while_another_writes)
        with pytest.raises(ReconcileError, match="was changed amid a reconcile"):
            await reconciler.reconcile(kubectl.namespace, "default")
        assert count(kubectl) == 3
        assert kubectl.scheduler()["status"]["recentDeletions"] == others["status"]["recentDeletions"]
        monkeypatch.undo()
        monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
        await reconciler.reconcile(kubectl.namespace, "default")
    assert count(kubectl) == 2
    assert deletes(control_plane, kubectl)
