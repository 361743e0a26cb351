"""ownership.py on managedFields as a real API server writes them (the cluster tests prove it on one)."""

from __future__ import annotations

from typing import Any

import pytest

from region_operator.cronjob import DIGEST_ANNOTATION
from region_operator.ownership import in_sync

MANIFEST: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {
        "name": "a",
        "namespace": "n",
        "labels": {"app": "region-tick"},
        "annotations": {DIGEST_ANNOTATION: "d1"},
        "ownerReferences": [{"uid": "u1", "name": "default"}],
    },
    "spec": {
        "schedule": "* * * * *",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        "atomic": [1, 2],
        "empty": {},
    },
}


def fields() -> dict[str, Any]:
    return {
        "f:metadata": {
            "f:labels": {"f:app": {}},
            "f:annotations": {f"f:{DIGEST_ANNOTATION}": {}},
            "f:ownerReferences": {'k:{"uid":"u1"}': {}},
        },
        "f:spec": {
            "f:schedule": {},
            "f:env": {
                'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}},
                'k:{"name":"B"}': {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}},
            },
            "f:atomic": {},
            "f:empty": {},
        },
    }


def live(
    owned: dict[str, Any], *, digest: str = "d1", manager: str = "region-operator", operation: str = "Apply"
) -> dict[str, Any]:
    entry = {"manager": manager, "operation": operation, "fieldsV1": owned}
    status = {"manager": "region-operator", "operation": "Apply", "subresource": "status", "fieldsV1": {}}
    return {"metadata": {"annotations": {DIGEST_ANNOTATION: digest}, "managedFields": [status, entry]}}


def test_what_we_applied_and_still_own_is_in_sync() -> None:
    assert in_sync(MANIFEST, live(fields()))


def test_another_digest_is_not() -> None:
    assert not in_sync(MANIFEST, live(fields(), digest="d0"))
    assert not in_sync(MANIFEST, {"metadata": {}})


@pytest.mark.parametrize(
    "path",
    [
        ("f:spec", "f:schedule"),
        ("f:spec", "f:atomic"),
        ("f:spec", "f:env", 'k:{"name":"A"}'),
        ("f:spec", "f:env", 'k:{"name":"A"}', "f:value"),
        ("f:spec", "f:env", 'k:{"name":"B"}', "f:valueFrom", "f:fieldRef"),
        ("f:metadata", "f:labels", "f:app"),
        ("f:metadata", "f:ownerReferences", 'k:{"uid":"u1"}'),
    ],
)
def test_a_field_that_somebody_took_or_removed_is_not(path: tuple[str, ...]) -> None:
    owned = fields()
    parent = owned
    for step in path[:-1]:
        parent = parent[step]
    parent.pop(path[-1])
    parent["f:other"] = {}  # an emptied set would read as a leaf
    assert not in_sync(MANIFEST, live(owned))


def test_only_our_apply_entry_counts() -> None:
    assert not in_sync(MANIFEST, live(fields(), manager="kubectl-edit"))
    assert not in_sync(MANIFEST, live(fields(), operation="Update"))
