"""Compares what RBAC grants with what the API server's audit log says was asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import yaml

from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A verb on a resource, such as `jobs.batch` or `regionschedulers/status.region-tick.dev`, perhaps of one name."""

    resource: str
    verb: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} {self.name}".strip()


def granted(rules: Iterable[dict[str, Any]]) -> set[Right]:
    """Return each right of RBAC rules (PolicyRule or ResourceRule)."""
    return {
        Right(_resource(resource, group), verb, name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames") or [""]
    }


def granted_by(manifest: str, *roles: str) -> set[Right]:
    """Return each right of the Roles and ClusterRoles of a file in `manifests`, or of those that are named."""
    documents = yaml.safe_load_all((CHECKOUT / "manifests" / manifest).read_text())
    chosen = [item for item in documents if not roles or item["metadata"]["name"] in roles]
    return granted(rule for item in chosen for rule in item.get("rules", ()))


def asked(audit_log: Path, user: str, *, since: int) -> Iterator[tuple[bool, Right]]:
    """Yield what a user has asked for, and whether it was allowed, with the name of the object.

    `since` is a position in the audit log, in bytes. A server-side apply that creates needs the right to create as
    well, although the log has a PATCH only.
    """
    for line in audit_log.read_bytes()[since:].splitlines():
        event = json.loads(line)
        thing = event.get("objectRef")
        if event["user"].get("username") != user or thing is None:
            continue
        resource = "/".join(filter(None, (thing["resource"], thing.get("subresource"))))
        allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow"
        verbs = [event["verb"]]
        if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == HTTPStatus.CREATED:
            verbs.append("create")
        for verb in verbs:
            yield allowed, Right(_resource(resource, thing.get("apiGroup", "")), verb, thing.get("name", ""))


def unused(rights: set[Right], used: Iterable[Right]) -> set[Right]:
    """Return the rights that nothing of `used` needed."""
    used = set(used)
    without_names = {Right(right.resource, right.verb) for right in used}
    return {right for right in rights if right not in (used if right.name else without_names)}


def _resource(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource
