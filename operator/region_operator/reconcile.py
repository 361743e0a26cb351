"""One reconcile: observe (read source, parse schedules, list current, plan, apply policy), remember, apply, status.

A reconcile takes nothing from the one before: all that it decides on, it reads. What it cannot read (database or API
server away) ends it before anything is written, so that the last state stands; the status says so, it is logged once,
and `pace` tries again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from kubernetes.aio.client import ApiException

from region_operator import events, metrics, status
from region_operator.account import Ledger
from region_operator.api import MERGE, Api, ApiUnavailableError
from region_operator.apply import ApplyError, apply_plan
from region_operator.crd import Scheduler, scheduler_path
from region_operator.database.region_table import Trigger
from region_operator.failures import ReconcileError, explain, refused
from region_operator.observe import Observation, observe
from region_operator.policy import History, explain_hold
from region_operator.quota import apply_quota
from region_operator.refusal import in_words
from region_operator.seen import Seen
from region_operator.source import Table
from region_operator.status import ReadyReason, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from datetime import timedelta

    from region_operator.database.store import Database, Store
    from region_operator.policy import Decision
    from region_operator.region import Quarantined

log = logging.getLogger(__name__)

T = TypeVar("T")

LIMIT_SECONDS = 600
"""No reconcile may take longer: one that hangs in spite of its requests' own timeouts must not end all that follow."""

TELL_LIMIT_SECONDS = 20
"""How long the end of a reconcile waits to be in the status; a failure is told without then."""

RACES_BEFORE_FAILURE = 8
"""How often in a row others may be faster before that is a failure. After so many back-offs they were so for half a
minute.
"""


class RaceError(Exception):
    """Somebody changed the RegionScheduler amid a reconcile, which has done nothing yet."""

    def __init__(self) -> None:
        super().__init__("the RegionScheduler was changed meanwhile")


@dataclass(frozen=True, slots=True)
class Ended:
    """A reconcile that came to its end. `unfinished` says what it could not do yet, and what the next one, due at once,
    has to look at anew; empty where that is nothing.
    """

    refresh_interval: timedelta
    unfinished: str


class Reconciler:
    """Makes the cluster true to the table, as often as it is asked; whoever asks meanwhile waits.

    `last_seen` are the CronJobs as it last saw them or left them behind.
    """

    def __init__(self, api: Api, store: Store, *, tick_image: str) -> None:
        self._api = api
        self._store = store
        self._tick_image = tick_image
        self._quarantined: dict[str, Quarantined] = {}
        self._quota_taken = ""
        self._races = 0
        self._one_at_a_time = asyncio.Lock()
        self.last_seen = Seen()
        self.ledger = Ledger(api, retention=store.retention)

    @property
    def database(self) -> str:
        """Say which database was read last, and its schema's revision; empty before the first."""
        return self._store.description

    async def reconcile(self, namespace: str, name: str) -> Ended | None:
        """Reconcile one RegionScheduler; return None where it is gone.

        Raises ReconcileError after the status was written, where it could be, and ApiUnavailableError where the API
        server is away.
        """
        try:
            async with self._one_at_a_time:
                self.ledger.begin()
                return await self._reconcile(namespace, name)
        except ApiException as error:
            raise refused(error) from error

    async def _reconcile(self, namespace: str, name: str) -> Ended | None:
        limit = asyncio.timeout(LIMIT_SECONDS)
        body = await _answered(self._api.get(scheduler_path(namespace, name)), seconds=LIMIT_SECONDS)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        scheduler = Scheduler.from_object(body | {"spec": {}})  # enough to write the status of a spec that is no good
        try:
            scheduler = Scheduler.from_object(body)
            async with limit:
                database = await self._store.open()
                seen = await self._observe(database, scheduler)
                for lost in self.last_seen.all(live.body for live in seen.cronjobs):
                    log.info("deleted by another", extra={"cronjob": lost})
                scheduler = await self._remember(scheduler, seen.decision)
                await self._report(scheduler, seen.outcome.quarantined)
                await self._report_quota(scheduler, seen.outcome.quota_taken)
                stale = await self._apply(scheduler, seen, database)
        except ApiUnavailableError:
            raise
        except RaceError as race:
            return await self._lost_race(scheduler, race)
        except Exception as error:
            failure = _outlasted() if limit.expired() else explain(error)
            await self._tell(scheduler, failure or _internal(error))
            if failure is None:
                raise
            raise failure from error
        outcome = replace(seen.outcome, unfinished=_unfinished(stale=stale, awaited=seen.decision.plan.awaited))
        told = self._write_status(scheduler, status.succeeded(scheduler, outcome, now=_now()))
        await _answered(told, seconds=TELL_LIMIT_SECONDS)
        return Ended(scheduler.spec.refresh_interval, outcome.unfinished)

    async def _observe(self, database: Database, scheduler: Scheduler) -> Observation:
        """Look at all there is, and keep the table's trigger."""
        seen = await observe(self._api, database, scheduler, tick_image=self._tick_image, now=_now())
        table = Table.parse(scheduler.spec.source.table, default_schema=database.schema)
        trigger = await self._store.triggers.keep(
            database.engine, schema=table.schema, table=table.name, found=seen.trigger
        )
        metrics.NOTIFIED.set(trigger.fires)
        if trigger is Trigger.CREATED:  # nobody was told of what changed between the look and now
            return await observe(self._api, database, scheduler, tick_image=self._tick_image, now=_now())
        return seen

    async def _remember(self, before: Scheduler, decision: Decision) -> Scheduler:
        """Write down what the guard must know when it is asked again, before anything is deleted; tell of a hold.

        It is written over what was read and nothing else, lest two that decide at once each use up the whole allowance.
        """
        wanted = status.guarded(before, decision, now=_now())
        try:
            scheduler = await self._write_status(before, wanted, as_read=True)
        except ApiException as error:
            if error.status != 409:
                raise
            raise RaceError from error
        self._races = 0
        if scheduler.status != wanted:
            raise ReconcileError(
                ReadyReason.OUTDATED_CRD,
                "the RegionScheduler does not keep what the deletion guard must remember, so nothing is deleted:"
                " its CustomResourceDefinition is older than the operator; run kubectl apply -f crds",
            )
        metrics.HELD_DELETIONS.set(len(decision.held))
        hold, hold_before = decision.history.hold, History.from_status(before.status).hold
        if hold and hold != hold_before:
            message = explain_hold(hold, decision.held, scheduler)
            log.warning("deletions held", extra={"held": len(decision.held), "reason": message})
            if not hold_before:
                await events.warn(self._api, scheduler, reason=status.HELD, message=message)
        if hold_before and not hold:
            log.info("hold ended", extra={"approved": len(decision.history.approved)})
        return scheduler

    async def _lost_race(self, scheduler: Scheduler, race: RaceError) -> Ended:
        """End as one that is to be begun anew, and leave the status alone. Raises ReconcileError where that goes on."""
        self._races += 1
        if self._races <= RACES_BEFORE_FAILURE:
            return Ended(scheduler.spec.refresh_interval, str(race))
        failure = ReconcileError(
            ReadyReason.APPLY_FAILED, f"{race}, {self._races} times in a row: its managedFields say by whom"
        )
        await self._tell(scheduler, failure)
        raise failure from race

    async def _apply(self, scheduler: Scheduler, seen: Observation, database: Database) -> int:
        if seen.quota.drifted:
            await apply_quota(self._api, seen.quota)
        left = {live.name: live.body for live in seen.ours}
        try:
            stale = await apply_plan(self._api, seen.decision.plan, scheduler.namespace, self.last_seen, left)
        except ApplyError:
            await self.ledger.note(database, scheduler, left.values())
            raise
        await self.ledger.note(database, scheduler, left.values())
        outcome = seen.outcome
        counts = {
            "active": outcome.active,
            "scheduled": outcome.scheduled,
            "quarantined": len(outcome.quarantined),
            "paused": outcome.paused,
        }
        for state, count in counts.items():
            metrics.REGIONS.labels(state).set(count)
        extra = counts | {"held": outcome.held, "unchanged": seen.decision.plan.unchanged}
        log.log(logging.INFO if outcome.changed else logging.DEBUG, "reconciled", extra=extra)
        return stale

    async def _report(self, scheduler: Scheduler, quarantined: Sequence[Quarantined]) -> None:
        """Log and post each quarantine once, when it begins or its reason changes; log its end."""
        now = {row.id: row for row in quarantined}
        new = [row for row in quarantined if self._quarantined.get(row.id) != row]
        for row in new:
            log.warning("quarantined", extra={"region.id": row.id, "region.code": row.code, "reason": row.reason})
        for row in self._quarantined.values():
            if row.id not in now:
                log.info("quarantine ended", extra={"region.id": row.id, "region.code": row.code})
        self._quarantined = now
        messages = [f"region {row.code or row.id}: {row.reason}" for row in new]
        await events.warn_each(self._api, scheduler, reason="RegionQuarantined", messages=messages)

    async def _report_quota(self, scheduler: Scheduler, taken: str) -> None:
        """Log and post once that the quota is not ours; log its end."""
        before, self._quota_taken = self._quota_taken, taken
        if taken and not before:
            log.warning("quota not ours", extra={"reason": taken})
            await events.warn(self._api, scheduler, reason=status.ReadyReason.QUOTA_TAKEN, message=taken)
        if before and not taken:
            log.info("quota ours again")

    async def _tell(self, scheduler: Scheduler, failure: ReconcileError) -> None:
        """Write a failure into the status; what keeps it out of there must not hide it from the log and readiness."""
        try:
            told = self._write_status(scheduler, status.failed(scheduler, failure.reason, str(failure), now=_now()))
            await _answered(told, seconds=TELL_LIMIT_SECONDS)
        except ApiException as error:
            log.warning("status not written", extra={"reason": in_words(error)})
        except ApiUnavailableError as error:
            log.warning("status not written", extra={"reason": str(error)})

    async def _write_status(self, scheduler: Scheduler, new: Status, *, as_read: bool = False) -> Scheduler:
        """Write what of the status is another; return the scheduler with the status that it has now. `as_read` raises
        ApiException 409 where the scheduler has changed since it was read.
        """
        if new == scheduler.status:
            return scheduler
        changed = {key: value for key, value in new.items() if scheduler.status.get(key) != value}
        gone = dict.fromkeys(scheduler.status.keys() - new.keys())  # a merge patch takes away what is null
        body: dict[str, Any] = {"status": changed | gone}
        if as_read:
            body["metadata"] = {"resourceVersion": scheduler.resource_version}
        path = f"{scheduler_path(scheduler.namespace, scheduler.name)}/status"
        answer = await self._api.request("PATCH", path, body=body, content_type=MERGE)
        return scheduler.model_copy(update={"status": answer.get("status", {})})


def _internal(error: Exception) -> ReconcileError:
    return ReconcileError(ReadyReason.INTERNAL, f"an error of the operator itself, see its log: {error!r}")


async def _answered(request: Awaitable[T], *, seconds: float) -> T:
    """Wait for a request with all its retries, of which the API server may want each much later. Raises
    ApiUnavailableError.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request
    except TimeoutError as error:
        raise ApiUnavailableError(f"no answer within {seconds:g} s") from error


def _outlasted() -> ReconcileError:
    message = f"not done within {LIMIT_SECONDS} s, and begun anew: its log says how far it came"
    return ReconcileError(ReadyReason.TIMED_OUT, message)


def _unfinished(*, stale: int, awaited: int) -> str:
    texts = [f"{stale} had changed meanwhile"] * bool(stale)
    texts += [f"{awaited} wait until another of the same name is gone"] * bool(awaited)
    return "; ".join(texts)


def _now() -> datetime:
    return datetime.now(UTC)
