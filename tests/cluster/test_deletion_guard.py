"""The deletion guard on a real control plane: how many may go, and who lets the rest go."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.database.store import Store
from region_operator.kube.connect import connect
from region_operator.reconcile import Reconciler
from tests.cluster.guard import EVERY_SECOND, approve, count, deletes, held, wait_for_count, widen
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.local import LocalCluster
    from region_operator.observe import Observation
    from tests.cluster.conftest import Standing
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SCHEDULER = """
apiVersion: region-tick.dev/v1alpha1
kind: RegionScheduler
metadata: {name: default}
"""


def test_what_is_held_can_be_stopped_and_started(
    standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    """All at once by spec.suspend, as the condition says, or one by the annotation."""
    with standing(3, **EVERY_SECOND):
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
    standing: Standing, kubectl: Kubectl, sql: Any
) -> None:
    with standing(20, **EVERY_SECOND):
        sql("TRUNCATE region_index")
        eventually(lambda: held(kubectl), what="it holds")
        kubectl("delete", "cronjob", kubectl.cronjobs()["R7"]["metadata"]["name"])
        widen(kubectl)
        wait_for_count(kubectl, 0)
        eventually(lambda: not held(kubectl), what="the hold is over")


def test_few_deletions_go_at_once(standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, sql: Any) -> None:
    with standing(30) as operator:
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        sql("DELETE FROM region_index WHERE right(code, 1) = '7'")
        eventually(lambda: count(kubectl) == 27, what="three go")
        assert not held(kubectl)
    assert len(deletes(control_plane, kubectl)) == 3


def test_single_deletions_in_a_row_are_held_like_one_of_all(
    run_operator: RunOperator, standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    """Over many reconciles, over a kill between them: what went before is known from the status alone."""
    with standing(60) as operator:
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
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(12)
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


@pytest.mark.parametrize("release", [approve, widen])
def test_what_a_person_says_is_heard_at_once(
    standing: Standing, kubectl: Kubectl, sql: Any, release: Callable[[Kubectl], None]
) -> None:
    with standing(20) as operator:
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
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    """As after an upgrade without the CRD: the API server drops the fields that it does not know."""
    add_regions(12)
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
    kubectl: Kubectl,
    control_plane: LocalCluster,
    sql: Any,
    add_regions: AddRegions,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when two lead at once, or one was frozen: what the other has let go meanwhile must count."""
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    others = {"status": {"recentDeletions": [{"at": "2026-11-24T09:00:00Z", "regions": "0123456789ab"}]}}

    async with connect("a test") as api, Store(lambda: database, may_migrate=True) as store:
        reconciler = Reconciler(api, store, tick_image="tick:1")
        observe = reconciler.observer.observe

        async def observe_while_another_writes(*arguments: Any, **keywords: Any) -> Observation:
            seen = await observe(*arguments, **keywords)
            kubectl(
                "patch", "rsched", "default", "--subresource=status", "--type=merge", f"--patch={json.dumps(others)}"
            )
            return seen

        await reconciler.reconcile(kubectl.namespace, "default")
        add_regions(3)
        await reconciler.reconcile(kubectl.namespace, "default")
        assert count(kubectl) == 3
        sql("DELETE FROM region_index WHERE code = 'R1'")
        monkeypatch.setattr(reconciler.observer, "observe", observe_while_another_writes)
        ended = await reconciler.reconcile(kubectl.namespace, "default")
        assert ended is not None
        assert ended.unfinished == "the RegionScheduler was changed meanwhile"
        assert count(kubectl) == 3
        assert kubectl.scheduler()["status"]["recentDeletions"] == others["status"]["recentDeletions"]
        monkeypatch.undo()
        monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
        await reconciler.reconcile(kubectl.namespace, "default")
    assert count(kubectl) == 2
    assert deletes(control_plane, kubectl)
