"""Carrying out a plan: so many requests at a time, and one that fails keeps no other from being done.

A write is a forced server-side apply, so it may be sent twice and needs no read before it. An edit never deletes and
recreates, and a creation never adopts what stands there already. What others added to a CronJob survives an apply and
is removed after it. A CronJob is deleted with its dependents orphaned, so that a tick which runs ends in peace (its Job
has a time to live).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException

from region_operator import metrics
from region_operator.api import CONCURRENT_REQUESTS, ERRORS, Api
from region_operator.cronjob import FIELD_MANAGER, Manifest
from region_operator.ownership import foreign, is_ours, readable, removal
from region_operator.plan import Delete, Live, Reason, Write

if TYPE_CHECKING:
    from region_operator.plan import Plan
    from region_operator.seen import Seen

log = logging.getLogger(__name__)

PROGRESS_EVERY = 500
NAMED_FIELDS = 5

NEVER = "1"
"""A resourceVersion that no object has: an apply with it creates, and gets a 409 where something stands already."""


class _End(Enum):
    DONE = auto()
    STALE = auto()
    FAILED = auto()


class ApplyError(Exception):
    """Some of a plan could not be carried out; each failure has been logged where it happened."""


def cronjobs_path(namespace: str) -> str:
    """Return the path of a namespace's CronJobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs"


async def list_current(api: Api, namespace: str) -> tuple[list[Live], list[Live]]:
    """List the CronJobs that are ours, and those that are not. All are looked at, because labels can be taken off."""
    ours: list[Live] = []
    others: list[Live] = []
    async for item in api.items(cronjobs_path(namespace)):
        (ours if is_ours(item) else others).append(Live.from_object(item))
    return ours, others


async def apply_plan(api: Api, plan: Plan, namespace: str, seen: Seen) -> int:
    """Carry out a plan, and note in `seen` what it left. Return how many CronJobs stay that were to be deleted, because
    they had changed since they were listed. Raises ApplyError where something failed, after everything was tried.
    """
    slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
    ends: Counter[_End] = Counter()

    async def carry_out(change: Write | Delete) -> _End:
        async with slots:
            return await _change(api, change, namespace, seen)

    changes: list[Write | Delete] = [*plan.writes, *plan.deletes]
    tasks = [asyncio.create_task(carry_out(change)) for change in changes]
    try:
        for done, end in enumerate(asyncio.as_completed(tasks), start=1):
            ends[await end] += 1
            if done % PROGRESS_EVERY == 0:
                log.info("applying", extra={"done": done, "of": len(plan)})
    finally:
        for task in tasks:
            task.cancel()  # none may outlive its reconcile: the next decides anew
        await asyncio.gather(*tasks, return_exceptions=True)
    if failed := ends[_End.FAILED]:
        raise ApplyError(f"{failed} of {len(plan)} changes failed; the log names each under the event 'change failed'")
    return ends[_End.STALE]


async def _change(api: Api, change: Write | Delete, namespace: str, seen: Seen) -> _End:
    try:
        if isinstance(change, Write):
            path = f"{cronjobs_path(namespace)}/{change.manifest['metadata']['name']}"
            live = change.live.body if change.live else None
            seen.one(await put(api, path, change.manifest, live))
        elif not await _delete(api, change.live, namespace, seen):
            log.info("gone already", extra=_keys(change))
            return _End.DONE
    except ERRORS as error:
        if isinstance(change, Delete) and isinstance(error, ApiException) and error.status == HTTPStatus.CONFLICT:
            log.info("changed meanwhile", extra=_keys(change) | {"change": change.reason})
            return _End.STALE  # by a tick, perhaps, or by somebody who wants it paused: that is to be decided anew
        log.error("change failed", extra=_keys(change) | {"change": change.reason, "error": str(error)})
        return _End.FAILED
    metrics.CHANGES.labels(change.reason).inc()
    log.info(change.reason, extra=_keys(change))
    return _End.DONE


async def put(api: Api, path: str, manifest: Manifest, live: Manifest | None) -> Manifest:
    """Apply to the object that was seen, or to none, then remove what others added; return what it then looks like.

    Of which object it is, it says lest it recreate one that was deleted since, or adopt one that was made since. Raises
    ApiException 409 then.
    """
    identity = {"uid": live["metadata"]["uid"]} if live else {"resourceVersion": NEVER}
    body = manifest | {"metadata": manifest["metadata"] | identity}

    async def remove_from(there: Manifest) -> Manifest:
        patch = removal(manifest, there)
        return await api.patch(path, patch, manager=FIELD_MANAGER) if patch else there

    try:
        return await remove_from(await api.apply(path, body, manager=FIELD_MANAGER))
    except ApiException as error:
        if error.status != 422 or live is None or not removal(manifest, live):
            raise
    await remove_from(live)  # it contradicts what we apply, as a variable's valueFrom does our value
    return await remove_from(await api.apply(path, body, manager=FIELD_MANAGER))


def culprits(manifest: Manifest, live: Manifest) -> dict[str, str]:
    """Return the log's keys for what others did to an object of ours that is to be restored."""
    others = foreign(manifest, live)
    if not others:
        return {"by": "unknown: what is only removed leaves no name"}
    fields = [readable(pointer, live) for other in others for pointer in (*other.taken, *other.added)]
    named = ", ".join(fields[:NAMED_FIELDS]) + (", ..." if len(fields) > NAMED_FIELDS else "")
    return {"by": ", ".join(sorted({other.manager for other in others})), "fields": named}


async def _delete(api: Api, live: Live, namespace: str, seen: Seen) -> bool:
    """Delete a CronJob as it was seen; False where it is gone already."""
    seen.gone(live.name, uid=live.uid)  # before its event can come
    path = f"{cronjobs_path(namespace)}/{live.name}"
    return await api.delete(path, uid=live.uid, resource_version=live.resource_version)


def _keys(change: Write | Delete) -> dict[str, str]:
    """Return the log's keys for a change."""
    if isinstance(change, Delete):
        annotations = change.live.body["metadata"].get("annotations", {})
        return {
            "cronjob": change.live.name,
            "region.id": annotations.get("region-tick.dev/id", ""),
            "region.code": annotations.get("region-tick.dev/code", ""),
        }
    region = change.desired.region
    keys = {
        "cronjob": change.manifest["metadata"]["name"],
        "region.id": region.id,
        "region.code": region.code,
        "cron": change.desired.schedule.source,
    }
    if change.live and change.live.schedule != keys["cron"]:
        keys["was"] = change.live.schedule
    if change.live and (change.reason is Reason.RESTORED or foreign(change.manifest, change.live.body)):
        keys |= culprits(change.manifest, change.live.body)
    return keys
