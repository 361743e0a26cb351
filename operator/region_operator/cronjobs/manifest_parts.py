"""The parts that all manifests of the operator share: labels, owner and digest. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from region_operator.cronjobs.labels import APP, DIGEST_ANNOTATION, OUR_LABELS
from region_operator.scheduler import API_VERSION, KIND, DeletionPolicy

if TYPE_CHECKING:
    from region_operator.scheduler import Scheduler

Manifest = dict[str, Any]
"""A Kubernetes object as JSON, for the API server."""

COMMON_LABELS = OUR_LABELS | {"app.kubernetes.io/name": APP, "app.kubernetes.io/component": "tick"}
"""The labels of every object that the operator makes. Not app.kubernetes.io/instance: Argo CD takes an object with that
label for a part of its application, and deletes the object as one too many (Argo CD, Resource Tracking)."""
TIME_ZONE = "UTC"
CONCURRENCY_POLICY = "Forbid"
"""A tick that still runs keeps the next tick of its region from starting."""


def with_digest(manifest: Manifest) -> Manifest:
    """Add the digest annotation.

    The digest shows whether a manifest is unchanged. No field must be compared that the API server may have defaulted.
    """
    digest = hashlib.sha256(msgspec.json.encode(manifest, order="sorted")).hexdigest()[:16]
    meta = manifest["metadata"]
    return manifest | {"metadata": meta | {"annotations": meta["annotations"] | {DIGEST_ANNOTATION: digest}}}


def ownership(scheduler: Scheduler) -> dict[str, Any]:
    """Return the part of the metadata that says who owns what ticks. Nobody does if all is to outlive its owner.

    Then the manifest names no RegionScheduler at all, so the next RegionScheduler finds everything in sync.
    """
    orphan = scheduler.spec.deletion_policy is DeletionPolicy.ORPHAN
    return {} if orphan else {"ownerReferences": [owner_reference(scheduler)]}


def owner_reference(scheduler: Scheduler) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": scheduler.name,
        "uid": scheduler.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
