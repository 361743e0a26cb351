"""RegionScheduler `default` from the process's knobs: made where there is none, never taken from a user.

The knobs are applied without force under a manager of their own, so a field that somebody else wrote stays theirs and
is reported. A default that nobody wrote is nobody's, although to the API server it belongs to whoever made the object:
it defaults what it is sent before it asks whose it is, but for a server-side apply. What `kubectl apply` was given
stands in an annotation; where there is none, whoever made the object may have written it.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import Backoff, on_error
from pydantic import BaseModel, ValidationError

from region_operator.scheduler import API_VERSION, DEFAULT_NAME, KIND, Spec, scheduler_path

if TYPE_CHECKING:
    from region_operator.cronjobs.manifest import Manifest
    from region_operator.kube.api import Api

log = logging.getLogger(__name__)

FIELD_MANAGER = "region-operator-knobs"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_REMEDY = (
    "unset the knob or the field of RegionScheduler default; where nobody set that, it is a default that counts as its"
    " maker's: make it by kubectl apply, which tells what was set"
)
_WAIT = Backoff(steps=7, duration=0.5, factor=2.0, jitter=0.5)


class _LastApplied(BaseModel):
    spec: dict[str, Any] = {}


async def bootstrap(api: Api, namespace: str, spec: dict[str, Any]) -> None:
    """Apply what the knobs say. A CRD that was installed a moment ago may not be served yet: that is waited for, about
    half a minute; what was written after it was looked at is looked at again.
    """
    await on_error(_WAIT, _is_momentary, lambda: _apply(api, namespace, spec))


async def _apply(api: Api, namespace: str, spec: dict[str, Any], *, over: Manifest | None = None) -> None:
    """Apply `spec`; over an object exactly as it was read also what others own of it."""
    path = scheduler_path(namespace, DEFAULT_NAME)
    meta = {"name": DEFAULT_NAME, "namespace": namespace}
    if over:
        meta["resourceVersion"] = over["metadata"]["resourceVersion"]
    body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": spec}
    try:
        await api.apply(path, body, manager=FIELD_MANAGER, force=over is not None)
    except ApiException as error:
        conflicting = _conflicting_fields(error) & spec.keys()
        if not conflicting:
            raise
        found = await api.get(path) or {}
        taken = conflicting - _unwritten(found)
        if taken:
            log.warning("knobs overruled", extra={"fields": sorted(taken), "remedy": _REMEDY})
        rest = {key: value for key, value in spec.items() if key not in taken}
        await _apply(api, namespace, rest, over=found if conflicting - taken else None)


def _unwritten(scheduler: Manifest) -> set[str]:
    """Return the fields of spec that have their defaults and that nobody wrote, as far as that is known."""
    annotations = scheduler.get("metadata", {}).get("annotations", {})
    try:
        written = _LastApplied.model_validate_json(annotations.get(_LAST_APPLIED, "")).spec
    except ValidationError:
        return set()
    unwritten = scheduler["spec"].keys() - written.keys()
    return {field for field in unwritten if Spec.model_validate({field: scheduler["spec"][field]}) == Spec()}


def _is_momentary(error: Exception) -> bool:
    return isinstance(error, ApiException) and error.status in (404, 409)


def _conflicting_fields(error: ApiException) -> set[str]:
    """Return the fields of spec that a 409 names as owned by other managers."""
    if error.status != 409:
        return set()
    causes = json.loads(error.body or "{}").get("details", {}).get("causes", [])
    return {cause["field"].removeprefix(".spec.").partition(".")[0] for cause in causes if "field" in cause}
