"""Admission policies of somebody else, on a real API server of Kubernetes 1.36 or newer."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.kubectl import Kubectl


@contextmanager
def policy(
    kubectl: Kubectl, resource: str, group: str, mutation: dict[str, Any], *, labels: dict[str, str] | None = None
) -> Iterator[None]:
    """Have the API server change objects of the namespace as they are written, as somebody's policy does."""
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
    name = f"theirs-{kubectl.namespace}"
    spec = {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": kubectl.namespace}},
            "objectSelector": {"matchLabels": labels or {}},
            "resourceRules": [rule],
        },
        "reinvocationPolicy": "Never",
        "mutations": [mutation],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    objects = [
        kind | {"kind": "MutatingAdmissionPolicy", "spec": spec},
        kind | {"kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": name}},
    ]
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    try:
        yield
    finally:
        kubectl("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", name)


def setting(fields: str) -> dict[str, Any]:
    """Return the mutation that sets fields of the spec; `fields` as in CEL, `suspend: true`."""
    expression = f"Object{{spec: Object.spec{{{fields}}}}}"
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
