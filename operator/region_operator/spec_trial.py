"""Tries a changed spec.tick on one CronJob, or on two more if that is refused, before any other CronJob is written.

The schema cannot say all that the API server asks of a CronJob. While the API server refuses a spec.tick, the last good
spec.tick is followed, so rows can be edited. The last good spec.tick is a ControllerRevision (`kube.tick_revisions`).
Without one that can be read, edits of rows wait: any spec.tick that were followed would be a guess
(docs/decisions/0029-a-spec-is-tried-on-one-cronjob.md).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeGuard

from kubernetes.aio.client import ApiException

from region_operator.errors import ReconcileError
from region_operator.kube.api_errors import describe
from region_operator.kube.apply import ApplyError
from region_operator.kube.tick_revisions import digest, read_revisions, save_revision
from region_operator.plan.conditions import ConditionType, ReadyReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_operator.kube.api import Api
    from region_operator.kube.apply import PlanApplier
    from region_operator.kube.tick_revisions import TickRevision
    from region_operator.plan.changes import Plan
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

_NOT_TYPED = "failed to create typed patch object"
"""In the API server's answer 500 to an apply of a field that does not exist, or of a value of another type
(apimachinery, managedfields/internal/structuredmerge.go)."""
_RACED = "due to an error in our request"
"""In the API server's answer 422 to a JSON patch whose test failed: somebody else changed the CronJob (apiserver,
handlers/patch.go)."""
TRIES = 3
"""How many CronJobs are tried before a spec.tick counts as refused, because a policy may deny one region alone."""
_ABOUT_THE_OBJECT = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A spec.tick that the API server refused, by its digest, and why, for people."""

    digest: str
    reason: str


class SpecTrial:
    """Tries spec.tick, and remembers the last answer."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._good: tuple[str, str] | None = None
        self._refusal: _Refusal | None = None

    @property
    def refusal(self) -> str:
        """Why the last good spec.tick is followed; "" if the RegionScheduler's own is followed."""
        return self._refusal.reason if self._refusal else ""

    async def choose(self, scheduler: Scheduler, *, again: bool) -> Scheduler:
        """Return the RegionScheduler to follow: with the last good spec.tick, if its own was refused.

        `again` asks for another trial, and for another look at whether the last good spec.tick is still kept. Raises
        ReconcileError if no last good spec.tick is known, and what `api.ERRORS` lists.
        """
        if again:
            self._good = None
        if self._refusal is None or again or self._refusal.digest != digest(scheduler.tick_as_written):
            self._refusal = None
            return scheduler
        last = next(iter(await self._read_revisions(scheduler)), None)
        if followed := _with_tick_of(last, scheduler):
            return followed
        what = f"ControllerRevision {last.name} cannot be read" if last else "no ControllerRevision is there"
        raise ReconcileError(ReadyReason.INVALID_SPEC, f"{self.refusal}; the last good one is lost, {what}")

    async def look(self, scheduler: Scheduler) -> tuple[Scheduler, str]:
        """Return the RegionScheduler that an operator follows, and why it is not its own spec.tick; "" if it is.

        By what the operator said in the status of this generation of the spec; nothing is tried. Raises what
        `api.ERRORS` lists.
        """
        conditions = scheduler.status.get("conditions", [])
        ready: Mapping[str, Any] = next((item for item in conditions if item["type"] == ConditionType.READY), {})
        about = ready.get("reason"), ready.get("observedGeneration")
        if about != (ReadyReason.INVALID_SPEC, scheduler.generation):
            return scheduler, ""
        refused = f"spec.tick is refused ({ready['message']})"
        last = next(iter(await self._read_revisions(scheduler)), None)
        if last and (followed := _with_tick_of(last, scheduler)):
            return followed, f"{refused}: this plan is with the last good one, of ControllerRevision {last.name}"
        return (
            scheduler,
            f"{refused}, and the last good one is not known: nothing of this plan is done until it is mended",
        )

    async def prove(self, scheduler: Scheduler, plan: Plan, applier: PlanApplier) -> None:
        """Carry out one write of the plan, if spec.tick is not known to be good, and keep spec.tick if it is.

        A CronJob that is in sync with spec.tick proves it too. Raises ReconcileError if the API server refuses
        spec.tick, ApplyError if the write fails otherwise, and what `api.ERRORS` lists.
        """
        new = digest(scheduler.tick_as_written)
        if self._good == (scheduler.uid, new):  # a RegionScheduler that is made anew has no ControllerRevision yet
            return
        revisions = await self._read_revisions(scheduler)
        if not revisions or revisions[0].written is None or digest(revisions[0].written) != new:
            if not plan.unchanged and not await self._try(applier, new):
                return  # there is no region to try it on
            await self._save_revision(scheduler, revisions)
        self._good = scheduler.uid, new

    async def _try(self, applier: PlanApplier, new: str) -> bool:
        """Write CronJobs until the API server takes one, at most TRIES. Return whether there was one to write.

        Raises ReconcileError if the API server refuses each of them, and ApplyError if a write fails otherwise.
        """
        reason, cause = "", None
        for _ in range(TRIES):
            try:
                if await applier.try_one():
                    return True
                break  # there are no more
            except ApplyError as error:
                if not _is_about_the_object(error.first):
                    raise
                reason = reason or f"the API server refuses a CronJob with this spec.tick: {describe(error.first)}"
                cause = cause or error
                if _NOT_TYPED in reason:
                    break  # that is about the fields, which all regions share
        if cause is None:
            return False
        self._refusal = _Refusal(new, reason)
        raise ReconcileError(ReadyReason.INVALID_SPEC, reason) from cause

    async def _read_revisions(self, scheduler: Scheduler) -> list[TickRevision]:
        try:
            return await read_revisions(self._api, scheduler)
        except ApiException as error:
            _pass_over_missing_right(error)
            return []

    async def _save_revision(self, scheduler: Scheduler, revisions: list[TickRevision]) -> None:
        try:
            await save_revision(self._api, scheduler, revisions)
        except ApiException as error:
            _pass_over_missing_right(error)


def _with_tick_of(revision: TickRevision | None, scheduler: Scheduler) -> Scheduler | None:
    """Return the RegionScheduler with the spec.tick of a revision; None if there is none that can be read."""
    if revision is None or revision.written is None or (tick := revision.spec) is None:
        return None
    spec = scheduler.spec.model_copy(update={"tick": tick})
    return scheduler.model_copy(update={"spec": spec, "tick_as_written": revision.written})


def _pass_over_missing_right(error: ApiException) -> None:
    """Log that a Role of an older release lacks a right, which must not stop everything. Raise any other error."""
    if error.status != HTTPStatus.FORBIDDEN:
        raise error
    log.warning("last good spec.tick unknown", extra={"reason": describe(error)})


def _is_about_the_object(error: Exception) -> TypeGuard[ApiException]:
    """Tell whether an error is an answer about the object, by the API server or by an admission policy.

    A missing right and a full quota are 403 too; a policy's 403 has the word "denied" (apiserver, admission/plugin).
    """
    if not isinstance(error, ApiException):
        return False
    words = describe(error)
    denied = error.status == HTTPStatus.FORBIDDEN and "denied" in words
    return _RACED not in words and (error.status in _ABOUT_THE_OBJECT or denied or _NOT_TYPED in words)
