"""An operator whose start is over and whose refresh is an hour away: what it does from then on, it was caused to do."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.harness.audit import audit_lines, sent_by
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess

HOUR = {"REGION_REFRESH_INTERVAL_MS": "3600000"}
_MINUTES = count(61)


def settled(operator: OperatorProcess, kubectl: Kubectl, *, regions: int) -> dict[str, dict[str, Any]]:
    """Return the CronJobs once they are there, and once nothing of the start can still cause a reconcile.

    Ready alone may be what the process before has left behind.
    """
    eventually(lambda: operator.reconciles, what="a reconcile of this process")
    eventually(lambda: kubectl.ready().get("status") == "True", what="ready")
    eventually(lambda: operator.logged("listening"), what="it listens")
    before = kubectl.cronjobs()
    assert len(before) == regions
    marked(kubectl)
    return before


def marked(kubectl: Kubectl) -> None:
    """Have two reconciles that have nothing to do with CronJobs, one after the other, and wait for their ends.

    The status comes last in a reconcile. The first may have begun before what the test did; the second has not.
    """
    for _ in range(2):
        patch = {"spec": {"refreshInterval": f"{next(_MINUTES)}m"}}
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", json.dumps(patch))
        eventually(kubectl.is_observed, what="a reconcile")


def ended_reconciles(operator: OperatorProcess, kubectl: Kubectl, cluster: LocalCluster) -> float:
    """Return how many reconciles have ended, with the last that wrote the status: it counts itself after the answer."""
    lines = [line for line in audit_lines(cluster, kubectl.namespace) if sent_by(line)]
    writes = [line for line in lines if line["objectRef"].get("subresource") == "status"]
    last = datetime.fromisoformat(writes[-1]["requestReceivedTimestamp"]).timestamp()
    success = "region_operator_last_success_timestamp_seconds"
    eventually(lambda: operator.metric(success) > last, what="the last reconcile ends")
    return operator.reconciles
