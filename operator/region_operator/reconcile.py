"""One reconcile: observe (read the table, list the CronJobs, plan, guard), remember, announce, apply, write the status.

A reconcile takes nothing from the reconcile before: whatever it decides on, it reads. What cannot be read (database or
API server away) ends the reconcile before anything is written, so the last state stands. The status then says why, and
the next attempt is left to `loop`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException

from region_operator.announce import Announcer, log_foreign_deletions, log_reconciled
from region_operator.cronjobs.echo_filter import EchoFilter
from region_operator.database.region_table import Trigger
from region_operator.errors import ReconcileError, explain, internal, outlasted, refused
from region_operator.kube.api import Api, ApiUnavailableError, answer_within
from region_operator.kube.apply import apply_plan
from region_operator.kube.quota import apply_quota
from region_operator.kube.status_writer import try_to_write_status, write_status
from region_operator.ledger.service import LedgerService
from region_operator.observe import Observation, observe
from region_operator.plan import status
from region_operator.plan.status import ReadyReason
from region_operator.regions.source import Table
from region_operator.runtime import metrics
from region_operator.scheduler import Scheduler, scheduler_path

if TYPE_CHECKING:
    from datetime import timedelta

    from region_operator.database.store import Database, Store
    from region_operator.plan.deletion_guard import Decision


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
class ReconcileResult:
    """A reconcile that came to its end. `unfinished` says what it could not do yet, and what the next one, due at once,
    has to look at anew; empty where that is nothing.
    """

    refresh_interval: timedelta
    unfinished: str


class Reconciler:
    """Makes the cluster true to the table, as often as it is asked; whoever asks meanwhile waits.

    `echo_filter` knows the CronJobs as a reconcile last saw them or left them behind.
    """

    def __init__(self, api: Api, store: Store, *, tick_image: str) -> None:
        self._api = api
        self._store = store
        self._tick_image = tick_image
        self._announcer = Announcer(api)
        self._races = 0
        self._one_at_a_time = asyncio.Lock()
        self.echo_filter = EchoFilter()
        self.ledger = LedgerService(api, retention=store.retention)

    @property
    def database(self) -> str:
        """Say which database was read last, and its schema's revision; empty before the first."""
        return self._store.description

    async def reconcile(self, namespace: str, name: str) -> ReconcileResult | None:
        """Reconcile one RegionScheduler; return None where it is gone.

        Raises ReconcileError after the status was written, where it could be, and ApiUnavailableError where the API
        server is away.
        """
        try:
            async with self._one_at_a_time:
                self.ledger.start_reconcile()
                return await self._reconcile(namespace, name)
        except ApiException as error:
            raise refused(error) from error

    async def _reconcile(self, namespace: str, name: str) -> ReconcileResult | None:
        limit = asyncio.timeout(LIMIT_SECONDS)
        body = await answer_within(self._api.get(scheduler_path(namespace, name)), seconds=LIMIT_SECONDS)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        scheduler = Scheduler.from_object(body | {"spec": {}})  # enough to write the status of a spec that is no good
        try:
            scheduler = Scheduler.from_object(body)
            async with limit:
                database = await self._store.open()
                found = await self._observe(database, scheduler)
                log_foreign_deletions(self.echo_filter.replace_all(live.body for live in found.cronjobs))
                scheduler = await self._remember(scheduler, found.decision)
                await self._announcer.announce_quarantines(scheduler, found.summary.quarantined)
                await self._announcer.announce_quota_conflict(scheduler, found.summary.quota_conflict)
                stale = await self._apply(scheduler, found, database)
        except ApiUnavailableError:
            raise
        except RaceError as race:
            return await self._lose_race(scheduler, race)
        except Exception as error:
            failure = outlasted(LIMIT_SECONDS) if limit.expired() else explain(error)
            await self._write_failure(scheduler, failure or internal(error))
            if failure is None:
                raise
            raise failure from error
        summary = replace(found.summary, unfinished=status.unfinished(stale=stale, pending=found.decision.plan.pending))
        written = write_status(self._api, scheduler, status.succeeded(scheduler, summary, now=_now()))
        await answer_within(written, seconds=TELL_LIMIT_SECONDS)
        return ReconcileResult(scheduler.spec.refresh_interval, summary.unfinished)

    async def _observe(self, database: Database, scheduler: Scheduler) -> Observation:
        """Look at all there is, and keep the table's trigger."""
        found = await observe(self._api, database, scheduler, tick_image=self._tick_image, now=_now())
        table = Table.parse(scheduler.spec.source.table, default_schema=database.schema)
        trigger = await self._store.triggers.keep(
            database.engine, schema=table.schema, table=table.name, found=found.trigger
        )
        metrics.NOTIFIED.set(trigger.fires)
        if trigger is Trigger.CREATED:  # nobody was told of what changed between the look and now
            return await observe(self._api, database, scheduler, tick_image=self._tick_image, now=_now())
        return found

    async def _remember(self, before: Scheduler, decision: Decision) -> Scheduler:
        """Write down what the guard must know when it is asked again, before anything is deleted; announce a hold.

        The status is written over what was read and nothing else, lest two that decide at once each use up the whole
        allowance.
        """
        wanted = status.guarded(before, decision, now=_now())
        try:
            scheduler = await write_status(self._api, before, wanted, as_read=True)
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
        await self._announcer.announce_hold(before, scheduler, decision)
        return scheduler

    async def _lose_race(self, scheduler: Scheduler, race: RaceError) -> ReconcileResult:
        """End as one that is to be begun anew, and leave the status alone. Raises ReconcileError where that goes on."""
        self._races += 1
        if self._races <= RACES_BEFORE_FAILURE:
            return ReconcileResult(scheduler.spec.refresh_interval, str(race))
        failure = ReconcileError(
            ReadyReason.APPLY_FAILED, f"{race}, {self._races} times in a row: its managedFields say by whom"
        )
        await self._write_failure(scheduler, failure)
        raise failure from race

    async def _apply(self, scheduler: Scheduler, found: Observation, database: Database) -> int:
        """Do what was decided; return how many changes are to be decided anew. Raises ApplyError."""
        if found.quota.drifted:
            await apply_quota(self._api, found.quota)
        plan = found.decision.plan
        for delete in plan.deletes:
            self.echo_filter.expect_deletion(delete.live.name, uid=delete.live.uid)  # before its event can come
        applied = await apply_plan(self._api, plan, scheduler.namespace, on_write=self.echo_filter.remember)
        stood = {live.name: live.body for live in found.ours if live.name not in applied.deleted}
        await self.ledger.save_schedules(database, scheduler, (stood | dict(applied.written)).values())
        if applied.error:
            raise applied.error
        log_reconciled(found)
        return applied.stale

    async def _write_failure(self, scheduler: Scheduler, failure: ReconcileError) -> None:
        new = status.failed(scheduler, failure.reason, str(failure), now=_now())
        await try_to_write_status(self._api, scheduler, new, seconds=TELL_LIMIT_SECONDS)


def _now() -> datetime:
    return datetime.now(UTC)
