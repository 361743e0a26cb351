"""Applies one object so that it is what we say and nothing else, without adopting or recreating anybody's.

A write is a forced server-side apply. What others added to the object survives an apply, and is removed after it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException

from region_operator.cronjobs.labels import FIELD_MANAGER
from region_operator.cronjobs.ownership import foreign, readable, removal

if TYPE_CHECKING:
    from region_operator.cronjobs.manifest import Manifest
    from region_operator.kube.api import Api

NAMED_FIELDS = 5

NEVER = "1"
"""A resourceVersion that no object has: an apply with it creates, and gets a 409 where something stands already."""

ATTEMPTS = 3
"""How often what others add is removed from an object that they change again in between."""


async def put(api: Api, path: str, manifest: Manifest, live: Manifest | None) -> Manifest:
    """Apply to the object that was seen, or to none, then remove what others added; return what it then looks like.

    Of which object it is, it says lest it recreate one that was deleted since, or adopt one that was made since. Raises
    ApiException 409 then.
    """
    identity = {"uid": live["metadata"]["uid"]} if live else {"resourceVersion": NEVER}
    body = manifest | {"metadata": manifest["metadata"] | identity}

    there = await _force(api, path, body, removal(manifest, live) if live else [])
    for attempts_left in reversed(range(ATTEMPTS)):
        patch = removal(manifest, there)
        if not patch:
            break
        try:
            return await api.patch(path, patch, manager=FIELD_MANAGER)
        except ApiException as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or not attempts_left:
                raise
        there = await api.apply(path, body, manager=FIELD_MANAGER)  # somebody was faster: look again
    return there


async def _force(api: Api, path: str, body: Manifest, removal_first: list[Manifest]) -> Manifest:
    """Apply, also where it contradicts what others added, as a variable's valueFrom does our value."""
    try:
        return await api.apply(path, body, manager=FIELD_MANAGER)
    except ApiException as error:
        if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or not removal_first:
            raise
    await api.patch(path, removal_first, manager=FIELD_MANAGER)
    return await api.apply(path, body, manager=FIELD_MANAGER)


def culprits(manifest: Manifest, live: Manifest) -> dict[str, str]:
    """Return the log's keys for what others did to an object of ours that is to be restored."""
    others = foreign(manifest, live)
    if not others:
        return {"by": "unknown: what is only removed leaves no name"}
    fields = [readable(pointer, live) for other in others for pointer in (*other.taken, *other.added)]
    named = ", ".join(fields[:NAMED_FIELDS]) + (", ..." if len(fields) > NAMED_FIELDS else "")
    return {"by": ", ".join(sorted({other.manager for other in others})), "fields": named}
