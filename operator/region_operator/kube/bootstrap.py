"""Applies the process's settings to RegionScheduler `default`, and creates RegionScheduler `default` if missing.

Where Git makes the RegionScheduler, only what earlier settings gave is given back. A user's field is never overwritten.
The settings have their own field manager and are applied without force, so a field written by somebody else stays, and
is reported. A RegionScheduler that somebody has removed is never made again (`scheduler_presence`).

A schema default is different: nobody wrote the default, so the setting wins. In every request except a server-side
apply, the API server first fills in the defaults and then records the owners. The API server therefore counts a default
as written by the creator of the object. What a user really wrote with `kubectl apply` stands in an annotation. Without
the annotation, every field may be the creator's own, and stays.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import on_error
from pydantic import BaseModel, ValidationError

from region_operator.kube.scheduler_presence import WAIT, SchedulerPresence
from region_operator.scheduler import API_VERSION, DEFAULT_NAME, KIND, Spec, scheduler_path

if TYPE_CHECKING:
    from region_operator.cronjobs.manifest_parts import Manifest
    from region_operator.kube.api import Api

log = logging.getLogger(__name__)

FIELD_MANAGER = "region-operator-knobs"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_REMEDY = (
    "unset the knob or the field of RegionScheduler default; where nobody set that, it is a default that counts as its"
    " maker's: make it by kubectl apply, which tells what was set"
)


class _LastApplied(BaseModel):
    spec: dict[str, Any] = {}


async def bootstrap(api: Api, namespace: str, spec: dict[str, Any]) -> None:
    """Apply `spec`, the fields that the settings give. Raises what `api.ERRORS` lists.

    Retries for about half a minute if the CRD is not served yet, as right after an installation, or if somebody wrote
    the RegionScheduler between a read and a write.
    """
    presence = SchedulerPresence(api, namespace)
    await on_error(WAIT, _is_momentary, lambda: _bootstrap(api, namespace, spec, presence))


async def give_back(api: Api, namespace: str, spec: dict[str, Any]) -> None:
    """Take the fields back that settings once gave and that `spec`, today's settings, does not have.

    What nobody else wrote then has the schema's default again. Raises what `api.ERRORS` lists.
    """
    await on_error(WAIT, _is_momentary, lambda: _give_back(api, namespace, spec))


async def _give_back(api: Api, namespace: str, spec: dict[str, Any]) -> None:
    path = scheduler_path(namespace, DEFAULT_NAME)
    live = await api.get(path) or {}
    given = _given_fields(live)
    if not given - spec.keys():
        return
    kept = {key: live["spec"][key] for key in given & spec.keys()}
    meta = {key: live["metadata"][key] for key in ("name", "namespace", "uid")}
    await api.apply(path, _body(meta, kept), manager=FIELD_MANAGER, force=False)
    log.info("knobs given back", extra={"fields": sorted(given - spec.keys())})


async def _bootstrap(api: Api, namespace: str, spec: dict[str, Any], presence: SchedulerPresence) -> None:
    uid = await presence.uid()
    if not uid and await presence.last_uid():
        log.warning("scheduler not made", extra={"reason": presence.loss})
        return
    await _apply(api, namespace, spec, uid=uid)
    await presence.remember(await presence.uid())


async def _apply(
    api: Api, namespace: str, spec: dict[str, Any], *, uid: str, overwrite: Manifest | None = None
) -> None:
    """Apply `spec`, with force only to `overwrite`, a RegionScheduler that must not have changed since the read.

    Create the RegionScheduler if `uid` is "". Raises ApiException 409 if another or none has taken the place of `uid`.
    """
    path = scheduler_path(namespace, DEFAULT_NAME)
    meta = {"name": DEFAULT_NAME, "namespace": namespace} | ({"uid": uid} if uid else {})
    if overwrite:
        meta["resourceVersion"] = overwrite["metadata"]["resourceVersion"]
    try:
        await api.apply(path, _body(meta, spec), manager=FIELD_MANAGER, force=overwrite is not None)
    except ApiException as error:
        conflicting = _conflicting_fields(error) & spec.keys()
        if not conflicting:
            raise
        live = await api.get(path) or {}
        taken = conflicting - _unwritten_defaults(live)
        if taken:
            log.warning("knobs overruled", extra={"fields": sorted(taken), "remedy": _REMEDY})
        rest = {key: value for key, value in spec.items() if key not in taken}
        await _apply(api, namespace, rest, uid=uid, overwrite=live if conflicting - taken else None)


def _body(meta: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": spec}


def _given_fields(scheduler: Manifest) -> set[str]:
    """Return the fields of spec that the settings gave, and that belong to them still, perhaps to others too."""
    entries = scheduler.get("metadata", {}).get("managedFields", [])
    ours = (entry["fieldsV1"].get("f:spec", {}) for entry in entries if entry["manager"] == FIELD_MANAGER)
    return {name.removeprefix("f:") for fields in ours for name in fields if name.startswith("f:")}


def _unwritten_defaults(scheduler: Manifest) -> set[str]:
    """Return the fields of spec that hold the schema's default and that certainly no user wrote."""
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
    """Return the fields of spec that a 409 names as owned by other managers; no fields for another error."""
    if error.status != 409:
        return set()
    causes = json.loads(error.body or "{}").get("details", {}).get("causes", [])
    return {cause["field"].removeprefix(".spec.").partition(".")[0] for cause in causes if "field" in cause}
