"""What all manifests of the operator have in common: labels, owner and digest. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import APP, DIGEST_ANNOTATION, MARKS
from region_operator.scheduler import API_VERSION, KIND

if TYPE_CHECKING:
    from region_operator.scheduler import Scheduler

Manifest = dict[str, Any]
"""An object as the API server takes it."""


def with_digest(manifest: Manifest) -> Manifest:
    """Add the annotation by which an unchanged manifest is known again without comparing defaulted fields."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    meta = manifest["metadata"]
    return manifest | {"metadata": meta | {"annotations": meta["annotations"] | {DIGEST_ANNOTATION: digest}}}


def common_labels(scheduler: Scheduler) -> dict[str, str]:
    return {
        **MARKS,
        "app.kubernetes.io/name": APP,
        "app.kubernetes.io/component": "tick",
        "app.kubernetes.io/instance": scheduler.name,
    }


def owner_reference(scheduler: Scheduler) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": scheduler.name,
        "uid": scheduler.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
