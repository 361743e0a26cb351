"""Carrying out a plan: so many requests at a time, and one that fails keeps no other from being done.

A write is a forced server-side apply, so it may be sent twice and needs no read before it. An edit never deletes and
recreates, and a creation never adopts what stands there already. What others added to a CronJob survives an apply and
is removed after it. A CronJob is deleted with its dependents orphaned, so that a tick which runs ends in peace (its Job
has a time to live).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import is_conflict

from region_operator.cronjobs.ownership import foreign, is_ours
from region_operator.kube.api import CONCURRENT_REQUESTS, ERRORS, Api
from region_operator.kube.api_errors import describe
from region_operator.kube.put import culprits, put
from region_operator.plan.changes import ChangeReason, Delete, LiveCronJob, Write
from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from region_operator.cronjobs.manifest import Manifest
    from region_operator.plan.changes import Plan

log = logging.getLogger(__name__)

PROGRESS_EVERY = 500


GIVE_UP_AFTER = CONCURRENT_REQUESTS
"""So many changes in a row that the API server had no time or no means for: it is asked for no more until the next
reconcile."""


class _End(Enum):
    GONE = auto()
    """Deleted, now or before."""
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


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done of a plan.

    `written` are the CronJobs as their writes left them, by name. `deleted` are the names of those that are gone.
    `stale` counts the changes that are to be decided anew, because others had changed the CronJob since it was listed.
    `error` is None where nothing failed.
    """

    written: Mapping[str, Manifest]
    deleted: frozenset[str]
    stale: int
    error: ApplyError | None


def cronjobs_path(namespace: str) -> str:
    """Return the path of a namespace's CronJobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs"


async def list_current(api: Api, namespace: str) -> tuple[list[LiveCronJob], list[LiveCronJob]]:
    """List the CronJobs that are ours, and those that are not. All are looked at, because labels can be taken off."""
    ours: list[LiveCronJob] = []
    others: list[LiveCronJob] = []
    async for item in api.items(cronjobs_path(namespace)):
        (ours if is_ours(item) else others).append(LiveCronJob.from_object(item))
    return ours, others


async def apply_plan(api: Api, plan: Plan, namespace: str, *, on_write: Callable[[Manifest], None]) -> Applied:
    """Carry out a plan and return what was done, also where some of it failed.

    `on_write` gets each CronJob right after its write, because the write's event may come before the plan is done. The
    plan is given up where the API server was found to have no time for anything.
    """
    slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
    in_a_row = 0

    async def carry_out(change: Write | Delete) -> Manifest | _End | Exception:
        nonlocal in_a_row
        async with slots:
            if in_a_row >= GIVE_UP_AFTER:
                return _End.UNTRIED
            end = await _change(api, change, namespace, on_write)
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
    return _sum_up(changes, [task.result() for task in tasks])


def _sum_up(changes: Sequence[Write | Delete], ends: Sequence[Manifest | _End | Exception]) -> Applied:
    """Sum up, in the plan's order: a failure that lasts then has the same words each time."""
    failures = [end for end in ends if isinstance(end, Exception)]
    untried = ends.count(_End.UNTRIED)
    return Applied(
        written={end["metadata"]["name"]: end for end in ends if isinstance(end, dict)},
        deleted=frozenset(
            change.live.name
            for change, end in zip(changes, ends, strict=True)
            if isinstance(change, Delete) and end is _End.GONE
        ),
        stale=ends.count(_End.STALE),
        error=ApplyError(failed=len(failures), untried=untried, of=len(ends), first=failures[0]) if failures else None,
    )


async def _change(
    api: Api, change: Write | Delete, namespace: str, on_write: Callable[[Manifest], None]
) -> Manifest | _End | Exception:
    """Carry out one change; return what a write left, how else it ended, or why it failed."""
    end: Manifest | _End = _End.GONE
    try:
        if isinstance(change, Write):
            end = await _write(api, change, namespace)
            on_write(end)
        elif not await _delete(api, change.live, namespace):
            log.info("gone already", extra=_keys(change))
            return end
    except ERRORS as error:
        if is_conflict(error):
            log.info("changed meanwhile", extra=_keys(change) | {"change": change.reason})
            return _End.STALE  # by a tick, perhaps, or by somebody who wants it paused: that is to be decided anew
        log.error("change failed", extra=_keys(change) | {"change": change.reason, "error": _words(error)})
        return error
    metrics.CHANGES.labels(change.reason).inc()
    log.info(change.reason, extra=_keys(change))
    return end


async def _write(api: Api, write: Write, namespace: str) -> Manifest:
    path = f"{cronjobs_path(namespace)}/{write.manifest['metadata']['name']}"
    return await put(api, path, write.manifest, write.live.body if write.live else None)


def _is_overload(error: Exception) -> bool:
    """Whether it says nothing of the change itself, so that the next would probably fail as this did."""
    return not isinstance(error, ApiException) or error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= 500


def _words(error: Exception) -> str:
    return describe(error) if isinstance(error, ApiException) else str(error)


async def _delete(api: Api, live: LiveCronJob, namespace: str) -> bool:
    """Delete a CronJob as it was seen; False where it is gone already."""
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
