"""What the API server itself wrote down about writes, and who it says sent them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devcluster.local import LocalCluster

LEASE = "/leases/region-operator"


def audit_lines(cluster: LocalCluster, namespace: str, *, since: int = 0) -> list[dict[str, Any]]:
    """Return the write requests in a namespace, as the API server itself recorded them, from a position of its log."""
    with cluster.audit_log.open() as log:
        log.seek(since)
        return [json.loads(line) for line in log if f"/namespaces/{namespace}/" in line]


def sent_by(line: dict[str, Any], identity: str = "") -> bool:
    """Whether an operator, or the one of that identity, sent a request."""
    agent: str = line["userAgent"]
    return agent.startswith("region-operator/") and identity in agent


def is_renewal(line: dict[str, Any]) -> bool:
    """Whether a request does nothing but write the Lease that is there."""
    return bool(line["verb"] == "update" and line["requestURI"].endswith(LEASE))
