"""An operator whose start is over and whose refresh is an hour away: what it does from then on, it was caused to do."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess

HOUR = {"REGION_REFRESH_INTERVAL_MS": "3600000"}


def settled(operator: OperatorProcess, kubectl: Kubectl, *, regions: int) -> dict[str, dict[str, Any]]:
    """Return the CronJobs once they are there, and once nothing of the start can still cause a reconcile."""
    eventually(lambda: kubectl.ready().get("status") == "True", what="ready", seconds=60)
    eventually(lambda: operator.logged("listening"), what="it listens")
    before = kubectl.cronjobs()
    assert len(before) == regions
    marked(operator, kubectl)
    return before


def marked(operator: OperatorProcess, kubectl: Kubectl) -> float:
    """Have one reconcile that has nothing to do with CronJobs, and return how many there have been then."""
    token = secrets.token_hex(4)
    kubectl("patch", "rsched", "default", "--type", "merge", "--patch", json.dumps({"spec": {"tick": {"env": []}}}))
    eventually(kubectl.is_observed, what="the edits before this one have had their reconciles")
    before = operator.reconciles
    minutes = 60 + int(token, 16) % 10_000
    kubectl(
        "patch", "rsched", "default", "--type", "merge", "--patch", f'{{"spec": {{"refreshInterval": "{minutes}m"}}}}'
    )
    eventually(lambda: operator.reconciles > before, what="a reconcile")
    return operator.reconciles
