"""RegionScheduler `default` from the process's knobs: made where there is none, never taken from a user.

The knobs are applied without force under a manager of their own, so a field that somebody else set stays theirs and is
reported.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import Backoff, on_error

from region_operator.crd import API_VERSION, DEFAULT_NAME, KIND, scheduler_path

if TYPE_CHECKING:
    from region_operator.api import Api

log = logging.getLogger(__name__)

FIELD_MANAGER = "region-operator-knobs"
_CRD_WAIT = Backoff(steps=7, duration=0.5, factor=2.0, jitter=0.5)


async def bootstrap(api: Api, namespace: str, spec: dict[str, Any]) -> None:
    """Apply what the knobs say. A CRD that was installed a moment ago may not be served yet: that is waited for, about
    half a minute.
    """
    await on_error(_CRD_WAIT, _is_not_served, lambda: _apply(api, namespace, spec))


async def _apply(api: Api, namespace: str, spec: dict[str, Any]) -> None:
    path = scheduler_path(namespace, DEFAULT_NAME)
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": DEFAULT_NAME, "namespace": namespace},
        "spec": spec,
    }
    try:
        await api.apply(path, body, manager=FIELD_MANAGER, force=False)
    except ApiException as error:
        taken = _conflicting_fields(error) & spec.keys()
        if not taken:
            raise
        log.warning(
            "knobs overruled",
            extra={"fields": sorted(taken), "remedy": "unset the knob or the field of RegionScheduler default"},
        )
        await _apply(api, namespace, {key: value for key, value in spec.items() if key not in taken})


def _is_not_served(error: Exception) -> bool:
    return isinstance(error, ApiException) and error.status == 404


def _conflicting_fields(error: ApiException) -> set[str]:
    """Return the fields of spec that a 409 names as owned by other managers."""
    if error.status != 409:
        return set()
    causes = json.loads(error.body or "{}").get("details", {}).get("causes", [])
    return {cause["field"].removeprefix(".spec.").partition(".")[0] for cause in causes if "field" in cause}
