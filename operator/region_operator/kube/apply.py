"""Carries out a plan: writes and deletes CronJobs, CONCURRENT_REQUESTS at a time.

If a change fails, the other changes are tried all the same. How one CronJob is written is left to `put`: an edit never
deletes and recreates, and a creation never adopts an existing object. A deletion orphans the CronJob's Jobs, so that a
running tick ends in peace; each Job has a time to live and goes later.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import is_conflict

from region_operator.cronjobs.ownership import foreign_fields, is_ours
from region_operator.kube.api import CONCURRENT_REQUESTS, ERRORS, Api
from region_operator.kube.api_errors import describe
from region_operator.kube.put import culprits, put
from region_operator.plan.changes import ChangeReason, Delete, LiveCronJob, Write
from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_operator.cronjobs.manifest_parts import Manifest
    from region_operator.plan.changes import Plan

log = logging.getLogger(__name__)

PROGRESS_EVERY = 500
"""Changes between two log lines about the progress of a large plan."""

GIVE_UP_AFTER = CONCURRENT_REQUESTS
"""After so many consecutive overload errors, the rest of the plan is left to the next reconcile."""


class _Outcome(Enum):
    GONE = auto()
    """The CronJob is deleted, now or before."""
    STALE = auto()
    """The CronJob has changed since the list."""
    UNTRIED = auto()


class ApplyError(Exception):
    """Some changes of a plan failed. `first` is the error of the first failed change. The log names every failure."""

    def __init__(self, *, failed: int, untried: int, of: int, first: Exception) -> None:
        super().__init__(
            f"{failed} of {of} changes failed"
            + (f" and {untried} were not tried" if untried else "")
            + f", the first with: {_words(first)}; the log names each under the event 'change failed'"
        )
        self.first = first


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of carrying out a plan.

    `written` holds the written CronJobs by name, as the API server returned each. `deleted` holds the names of the
    CronJobs that are gone. `stale` counts the changes to decide anew, because somebody changed the CronJob after the
    list. `error` is None if nothing failed.
    """

    written: Mapping[str, Manifest]
    deleted: frozenset[str]
    stale: int
    error: ApplyError | None


def cronjobs_path(namespace: str) -> str:
    """Return the path of a namespace's CronJobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs"


async def list_current(api: Api, namespace: str) -> tuple[list[LiveCronJob], list[LiveCronJob]]:
    """Return the namespace's CronJobs that are ours, and the CronJobs that are not.

    The list has no label selector, because somebody can take the labels off.
    """
    ours: list[LiveCronJob] = []
    others: list[LiveCronJob] = []
    async for item in api.items(cronjobs_path(namespace)):
        (ours if is_ours(item) else others).append(LiveCronJob.from_object(item))
    return ours, others


class ChangeListener(Protocol):
    """Hears of each change as it happens, because the change's event may come long before the plan is done."""

    def expect_deletion(self, name: str, *, uid: str) -> None:
        """Hear of a deletion, right before its request."""

    def remember(self, body: Mapping[str, Any]) -> None:
        """Hear of a write, with the CronJob as the write left it."""


async def apply_plan(api: Api, plan: Plan, namespace: str, listener: ChangeListener) -> Applied:
    """Carry out a plan, tell `listener` of each change, and return the result, also if some changes failed.

    After GIVE_UP_AFTER consecutive overload errors the rest of the plan is not tried.
    """
    slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
    consecutive_overloads = 0

    async def carry_out(change: Write | Delete) -> Manifest | _Outcome | Exception:
        nonlocal consecutive_overloads
        async with slots:
            if consecutive_overloads >= GIVE_UP_AFTER:
                return _Outcome.UNTRIED
            outcome = await _carry_out(api, change, namespace, listener)
            overload = isinstance(outcome, Exception) and _is_overload(outcome)
            consecutive_overloads = consecutive_overloads + 1 if overload else 0
            return outcome

    changes: list[Write | Delete] = [*plan.writes, *plan.deletes]
    tasks = [asyncio.create_task(carry_out(change)) for change in changes]
    try:
        for done, task in enumerate(asyncio.as_completed(tasks), start=1):
            await task
            if done % PROGRESS_EVERY == 0:
                log.info("applying", extra={"done": done, "of": len(plan)})
    finally:
        for unfinished in tasks:
            unfinished.cancel()  # no task may outlive the reconcile: the next reconcile decides anew
        await asyncio.gather(*tasks, return_exceptions=True)
    return _sum_up(changes, [task.result() for task in tasks])


def _sum_up(changes: Sequence[Write | Delete], outcomes: Sequence[Manifest | _Outcome | Exception]) -> Applied:
    """Sum up the outcomes in the plan's order. A lasting failure then has the same message in every reconcile."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    untried = outcomes.count(_Outcome.UNTRIED)
    failed, total = len(failures), len(outcomes)
    return Applied(
        written={outcome["metadata"]["name"]: outcome for outcome in outcomes if isinstance(outcome, dict)},
        deleted=frozenset(
            change.live.name
            for change, outcome in zip(changes, outcomes, strict=True)
            if isinstance(change, Delete) and outcome is _Outcome.GONE
        ),
        stale=outcomes.count(_Outcome.STALE),
        error=ApplyError(failed=failed, untried=untried, of=total, first=failures[0]) if failures else None,
    )


async def _carry_out(
    api: Api, change: Write | Delete, namespace: str, listener: ChangeListener
) -> Manifest | _Outcome | Exception:
    """Carry out one change and log the outcome. Return the written CronJob, another outcome, or the error."""
    outcome: Manifest | _Outcome = _Outcome.GONE
    try:
        if isinstance(change, Write):
            outcome = await _write(api, change, namespace)
            listener.remember(outcome)
        else:
            listener.expect_deletion(change.live.name, uid=change.live.uid)
            if not await _delete(api, change.live, namespace):
                log.info("gone already", extra=_log_keys(change))
                return outcome
    except ERRORS as error:
        if is_conflict(error):
            log.info("changed meanwhile", extra=_log_keys(change) | {"change": change.reason})
            return _Outcome.STALE  # perhaps a tick changed the CronJob, or somebody paused the region: decide anew
        log.error("change failed", extra=_log_keys(change) | {"change": change.reason, "error": _words(error)})
        return error
    metrics.CHANGES.labels(change.reason).inc()
    log.info(change.reason, extra=_log_keys(change))
    return outcome


async def _write(api: Api, write: Write, namespace: str) -> Manifest:
    path = f"{cronjobs_path(namespace)}/{write.manifest['metadata']['name']}"
    return await put(api, path, write.manifest, write.live.body if write.live else None)


def _is_overload(error: Exception) -> bool:
    """Whether the error is about the API server and not about the change: the next change would probably fail too."""
    return not isinstance(error, ApiException) or error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= 500


def _words(error: Exception) -> str:
    return describe(error) if isinstance(error, ApiException) else str(error)


async def _delete(api: Api, live: LiveCronJob, namespace: str) -> bool:
    """Delete a CronJob if unchanged since the list. Return False if the CronJob is gone already."""
    path = f"{cronjobs_path(namespace)}/{live.name}"
    return await api.delete(path, uid=live.uid, resource_version=live.resource_version)


def _log_keys(change: Write | Delete) -> dict[str, str]:
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
    if change.live and (change.reason is ChangeReason.RESTORED or foreign_fields(change.manifest, change.live.body)):
        keys |= culprits(change.manifest, change.live.body)
    return keys
