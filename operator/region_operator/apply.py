"""Carrying out a plan: so many requests at a time, and one that fails keeps no other from being done.

A write is a forced server-side apply, so it may be sent twice and needs no read before it. An edit never deletes and
recreates, and a creation never adopts what stands there already. What others added to a CronJob survives an apply and
is removed after it. A CronJob is deleted with its dependents orphaned, so that a tick which runs ends in peace (its Job
has a time to live).
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import is_conflict

from region_operator import metrics
from region_operator.api import CONCURRENT_REQUESTS, ERRORS, Api
from region_operator.cronjob import FIELD_MANAGER, Manifest
from region_operator.ownership import foreign, is_ours, readable, removal
from region_operator.plan import ChangeReason, Delete, Live, Write
from region_operator.refusal import in_words

if TYPE_CHECKING:
    from region_operator.plan import Plan
    from region_operator.seen import Seen

log = logging.getLogger(__name__)

PROGRESS_EVERY = 500
NAMED_FIELDS = 5

NEVER = "1"
"""A resourceVersion that no object has: an apply with it creates, and gets a 409 where something stands already."""


GIVE_UP_AFTER = CONCURRENT_REQUESTS
"""So many changes in a row that the API server had no time or no means for: it is asked for no more until the next
reconcile."""

ATTEMPTS = 3
"""How often what others add is removed from an object that they change again in between."""


class _End(Enum):
    DONE = auto()
    STALE = auto()
    UNTRIED = auto()


class ApplyError(Exception):
    """Some of a plan could not be carried out; `first` is why the first of it failed. Each has been logged where it
    happened.
    """

    def __init__(self, *, failed: int, untried: int, of: int, first: Exception) -> None:
        super().__init__(
            f"{failed} of {of} changes failed"
            + (f" and {untried} were not tried" if untried else "")
            + f", the first with: {_words(first)}; the log names each under the event 'change failed'"
        )
        self.first = first


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


async def apply_plan(api: Api, plan: Plan, namespace: str, seen: Seen, left: dict[str, Manifest]) -> int:
    """Carry out a plan, and note what it left: in `seen`, and as the objects by name in `left`.

    Return how many changes are to be decided anew, because others had changed the CronJob since it was listed. Raises
    ApplyError where something failed, after everything was tried or the API server was found to have no time for
    anything.
    """
    slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
    in_a_row = 0

    async def carry_out(change: Write | Delete) -> _End | Exception:
        nonlocal in_a_row
        async with slots:
            if in_a_row >= GIVE_UP_AFTER:
                return _End.UNTRIED
            end = await _change(api, change, namespace, seen, left)
            in_a_row = in_a_row + 1 if isinstance(end, Exception) and _is_overload(end) else 0
            return end

    changes: list[Write | Delete] = [*plan.writes, *plan.deletes]
    tasks = [asyncio.create_task(carry_out(change)) for change in changes]
    try:
        for done, task in enumerate(asyncio.as_completed(tasks), start=1):
            await task
            if done % PROGRESS_EVERY == 0:
                log.info("applying", extra={"done": done, "of": len(plan)})
    finally:
        for unfinished in tasks:
            unfinished.cancel()  # none may outlive its reconcile: the next decides anew
        await asyncio.gather(*tasks, return_exceptions=True)
    ends = [task.result() for task in tasks]  # in the plan's order, so that a failure that lasts has the same words
    if failures := [end for end in ends if isinstance(end, Exception)]:
        raise ApplyError(failed=len(failures), untried=ends.count(_End.UNTRIED), of=len(tasks), first=failures[0])
    return ends.count(_End.STALE)


async def _change(
    api: Api, change: Write | Delete, namespace: str, seen: Seen, left: dict[str, Manifest]
) -> _End | Exception:
    """Carry out one change; return how it ended, or why it failed."""
    try:
        if isinstance(change, Write):
            path = f"{cronjobs_path(namespace)}/{change.manifest['metadata']['name']}"
            live = change.live.body if change.live else None
            body = await put(api, path, change.manifest, live)
            seen.one(body)
            left[body["metadata"]["name"]] = body
        else:
            deleted = await _delete(api, change.live, namespace, seen)
            left.pop(change.live.name, None)
            if not deleted:
                log.info("gone already", extra=_keys(change))
                return _End.DONE
    except ERRORS as error:
        if is_conflict(error):
            log.info("changed meanwhile", extra=_keys(change) | {"change": change.reason})
            return _End.STALE  # by a tick, perhaps, or by somebody who wants it paused: that is to be decided anew
        log.error("change failed", extra=_keys(change) | {"change": change.reason, "error": _words(error)})
        return error
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


def _is_overload(error: Exception) -> bool:
    """Whether it says nothing of the change itself, so that the next would probably fail as this did."""
    return not isinstance(error, ApiException) or error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= 500


def _words(error: Exception) -> str:
    return in_words(error) if isinstance(error, ApiException) else str(error)


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
    if change.live and (change.reason is ChangeReason.RESTORED or foreign(change.manifest, change.live.body)):
        keys |= culprits(change.manifest, change.live.body)
    return keys
