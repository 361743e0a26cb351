"""Reads the API server's audit log: which writes arrived, and who sent each write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devcluster.local import LocalCluster

LEASE = "/leases/region-operator"


def audit_lines(cluster: LocalCluster, namespace: str, *, since: int = 0) -> list[dict[str, Any]]:
    """Return the recorded write requests of a namespace. `since` is a position in the audit log, in bytes."""
    with cluster.audit_log.open() as log:
        log.seek(since)
        return [json.loads(line) for line in log if f"/namespaces/{namespace}/" in line]


def sent_by(line: dict[str, Any], identity: str = "") -> bool:
    """Return whether an operator sent the request; with `identity`, whether the operator of that identity sent the
    request.
    """
    agent: str = line["userAgent"]
    return agent.startswith("region-operator/") and identity in agent


def is_renewal(line: dict[str, Any]) -> bool:
    """Return whether the request updates the operators' Lease."""
    return bool(line["verb"] == "update" and line["requestURI"].endswith(LEASE))
