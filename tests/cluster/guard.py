"""What tests of the deletion guard look at and do, as a person does with kubectl and the API server's audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.harness.audit import audit_lines, sent_by
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess

EVERY_SECOND = {"REGION_REFRESH_INTERVAL_MS": "1000"}


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
    """Count the CronJobs, without those that somebody has deleted: the garbage collector takes them in its own time."""
    items = kubectl.get("cronjobs")["items"]
    return sum("deletionTimestamp" not in item["metadata"] for item in items)


def wait_for_count(kubectl: Kubectl, wanted: int) -> None:
    eventually(lambda: count(kubectl) == wanted, what=f"{wanted} CronJobs")


def wait_for_reconciles(operator: OperatorProcess, more: int) -> None:
    before = operator.reconciles
    eventually(lambda: operator.reconciles >= before + more, what=f"{more} reconciles")


def approve(kubectl: Kubectl) -> None:
    kubectl.approve("DeletionsHeld")


def widen(kubectl: Kubectl) -> None:
    kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"deletionGuard": {"maxPercent": 100}}}')
