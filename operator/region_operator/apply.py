"""Carrying out a plan: so many requests at a time, and one that fails keeps no other from being done.

A write is a forced server-side apply, so it may be sent twice and needs no read before it. An edit never deletes and
recreates. A CronJob is deleted with its dependents orphaned, so that a tick which runs ends in peace (its Job has a
time to live).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from region_operator import metrics
from region_operator.api import CONCURRENT_REQUESTS, ERRORS, Api
from region_operator.cronjob import FIELD_MANAGER, SELECTOR, Manifest
from region_operator.ownership import in_sync
from region_operator.plan import Delete, Live, Write

if TYPE_CHECKING:
    from region_operator.plan import Plan

log = logging.getLogger(__name__)

PROGRESS_EVERY = 500


class ApplyError(Exception):
    """Some of a plan could not be carried out; each failure has been logged where it happened."""


def cronjobs_path(namespace: str) -> str:
    """Return the path of a namespace's CronJobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs"


async def list_current(api: Api, namespace: str) -> list[Live]:
    """List the CronJobs that carry our labels."""
    return [Live.from_object(item) async for item in api.items(cronjobs_path(namespace), selector=SELECTOR)]


async def unapplied_quota(api: Api, quota: Manifest) -> Manifest | None:
    """Return the ResourceQuota where it is not in sync, None where it is."""
    live = await api.get(_quota_path(quota))
    return None if live is not None and in_sync(quota, live) else quota


async def apply_quota(api: Api, quota: Manifest) -> None:
    """Apply the ResourceQuota."""
    await api.apply(_quota_path(quota), quota, manager=FIELD_MANAGER)
    log.info("quota applied", extra={"concurrency": quota["spec"]["hard"]["pods"]})


async def apply_plan(api: Api, plan: Plan, namespace: str) -> None:
    """Carry out a plan. Raises ApplyError where something failed, after everything was tried."""
    slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
    failed = 0

    async def carry_out(change: Write | Delete) -> bool:
        async with slots:
            return await _change(api, change, namespace)

    changes: list[Write | Delete] = [*plan.writes, *plan.deletes]
    for done, outcome in enumerate(asyncio.as_completed(map(carry_out, changes)), start=1):
        failed += not await outcome
        if done % PROGRESS_EVERY == 0:
            log.info("applying", extra={"done": done, "of": len(plan)})
    if failed:
        raise ApplyError(f"{failed} of {len(plan)} changes failed; the log names each under the event 'change failed'")


async def _change(api: Api, change: Write | Delete, namespace: str) -> bool:
    """Carry out one change; True where it was done, or no longer was to be done."""
    try:
        if isinstance(change, Write):
            path = f"{cronjobs_path(namespace)}/{change.manifest['metadata']['name']}"
            await api.apply(path, _with_identity(change), manager=FIELD_MANAGER)
        elif not await api.delete(
            f"{cronjobs_path(namespace)}/{change.live.name}",
            uid=change.live.uid,
            resource_version=change.live.resource_version,
        ):
            return True  # changed since it was listed: the next reconcile decides anew
    except ERRORS as error:
        log.error("change failed", extra=_keys(change) | {"change": change.reason, "error": str(error)})
        return False
    metrics.CHANGES.labels(change.reason).inc()
    log.info(change.reason, extra=_keys(change))
    return True


def _quota_path(quota: Manifest) -> str:
    meta = quota["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/resourcequotas/{meta['name']}"


def _with_identity(write: Write) -> Manifest:
    """Name the object that is updated by its uid: an apply then cannot recreate one that was deleted meanwhile (it gets
    a 409).
    """
    if write.live is None:
        return write.manifest
    return write.manifest | {"metadata": write.manifest["metadata"] | {"uid": write.live.uid}}


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
    return keys
