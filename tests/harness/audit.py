"""Reads the API server's audit log: which writes arrived, who sent each write, and which rights somebody used."""

from __future__ import annotations

import json
from collections import defaultdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster

LEASE = "/leases/region-operator"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


class Right(NamedTuple):
    """What a rule of a Role grants: a verb on a resource of an API group. A subresource stands after a slash."""

    group: str
    resource: str
    verb: str


def audit_lines(cluster: LocalCluster, namespace: str, *, since: int = 0) -> list[dict[str, Any]]:
    """Return the recorded write requests of a namespace. `since` is a position in the audit log, in bytes."""
    return [line for line in _lines(cluster, f"/namespaces/{namespace}/", since) if line["verb"] in WRITES]


def rights_used(cluster: LocalCluster, namespace: str, account: str) -> dict[Right, set[bool]]:
    """Return the rights that a ServiceAccount asked for in its namespace, and whether they were granted.

    An apply is a patch. An apply that creates needs the right to create too, which the audit log does not say.
    """
    used: dict[Right, set[bool]] = defaultdict(set)
    for line in _lines(cluster, f"/namespaces/{namespace}", 0):
        what = line.get("objectRef", {})
        if line["user"]["username"] != f"system:serviceaccount:{namespace}:{account}" or "resource" not in what:
            continue
        resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
        created = line["verb"] == "patch" and line["responseStatus"]["code"] == HTTPStatus.CREATED
        for verb in (line["verb"], "create") if created else (line["verb"],):
            allowed = line["annotations"].get("authorization.k8s.io/decision") == "allow"
            used[Right(what.get("apiGroup", ""), resource, verb)].add(allowed)
    return used


def _lines(cluster: LocalCluster, path: str, since: int) -> Iterator[dict[str, Any]]:
    with cluster.audit_log.open() as log:
        log.seek(since)
        yield from (json.loads(line) for line in log if path in line)


def sent_by(line: dict[str, Any], identity: str = "") -> bool:
    """Return whether an operator sent the request; with `identity`, whether the operator of that identity sent the
    request.
    """
    agent: str = line["userAgent"]
    return agent.startswith("region-operator/") and identity in agent


def is_renewal(line: dict[str, Any]) -> bool:
    """Return whether the request updates the operators' Lease."""
    return bool(line["verb"] == "update" and line["requestURI"].endswith(LEASE))
