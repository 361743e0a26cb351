"""Makes one object exactly what its manifest says, without adopting or recreating an object.

A write is a forced server-side apply, so a write may be sent twice and needs no read before. An apply keeps the fields
of other field managers, so a JSON patch removes foreign fields afterwards. Which fields are foreign is left to
`cronjobs.ownership`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from kubernetes.aio.client import ApiException

from region_operator.cronjobs.labels import FIELD_MANAGER
from region_operator.cronjobs.ownership import concerns_us, foreign_fields, readable_path, removal_patch
from region_operator.cronjobs.wire import decode_object

if TYPE_CHECKING:
    from region_operator.cronjobs.manifest_parts import Manifest
    from region_operator.kube.api import Api

NAMED_FIELDS = 5
"""How many foreign fields a log line names."""

NOBODY_KNOWN = "unknown: what is only removed leaves no name"
"""Who made a change, in the log, if Kubernetes does not know."""

UNUSED_VERSION = "1"
"""A resourceVersion that no object has. An apply with this version creates, and gets a 409 if an object exists."""

ATTEMPTS = 3
"""How often to remove foreign fields, if somebody changes the object again in between."""


async def put(api: Api, path: str, manifest: Manifest, *, uid: str | None, live: Manifest | None = None) -> bytes:
    """Apply `manifest` to the object with `uid`, or create the object if `uid` is None; then remove foreign fields.

    `live` is the object as it was seen, if others may own fields of the object. Returns the object as the API server
    has the object then, as JSON. Raises ApiException 409 if the object was deleted, recreated or created since the
    look. So a write never recreates a deleted object, and never adopts a new object.
    """
    identity = {"uid": uid} if uid else {"resourceVersion": UNUSED_VERSION}
    body = manifest | {"metadata": manifest["metadata"] | identity}

    current = await _force(api, path, body, removal_patch(manifest, live) if live else [])
    for attempts_left in reversed(range(ATTEMPTS)):
        patch = _removal_patch(manifest, current)
        if not patch:
            break
        try:
            return await api.patch(path, patch, manager=FIELD_MANAGER)
        except ApiException as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or not attempts_left:
                raise
        current = await api.apply(path, body, manager=FIELD_MANAGER)  # somebody was faster: look again
    return current


def _removal_patch(manifest: Manifest, current: bytes) -> list[Manifest]:
    """Return what `removal_patch` returns. An object in which nobody else has a hand need not be decoded in full."""
    if not any(map(concerns_us, decode_object(current).metadata.managed_fields)):
        return []
    return removal_patch(manifest, msgspec.json.decode(current))


async def _force(api: Api, path: str, body: Manifest, removal_first: list[Manifest]) -> bytes:
    """Apply `body`. If the API server calls the result invalid, remove the foreign fields first, by `removal_first`.

    A foreign field can contradict our field: a variable with our value and somebody's valueFrom is invalid.
    """
    try:
        return await api.apply(path, body, manager=FIELD_MANAGER)
    except ApiException as error:
        if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or not removal_first:
            raise
    await api.patch(path, removal_first, manager=FIELD_MANAGER)
    return await api.apply(path, body, manager=FIELD_MANAGER)


def culprits(manifest: Manifest, live: Manifest) -> dict[str, str]:
    """Return the log's keys for who changed which fields of an object of ours."""
    others = foreign_fields(manifest, live)
    if not others:
        return {"by": NOBODY_KNOWN}
    fields = [readable_path(pointer, live) for other in others for pointer in (*other.taken, *other.added)]
    named = ", ".join(fields[:NAMED_FIELDS]) + (", ..." if len(fields) > NAMED_FIELDS else "")
    return {"by": ", ".join(sorted({other.manager for other in others})), "fields": named}
