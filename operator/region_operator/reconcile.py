"""Reconciles once: observe, save the guard's state, announce, apply the changes, write the status.

A reconcile reads the whole table, and knows the CronJobs from a watch. Once per refresh interval a reconcile lists the
CronJobs too: a full look finds what no event told of. If the database or the API server is away, the reconcile ends
before the first change, so the cluster stays as it is. The status then says why. The next attempt is left to `loop`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException

from region_operator.announce import Announcer, log_reconciled
from region_operator.database.region_table import Trigger
from region_operator.errors import ReconcileError, explain, explain_internal, explain_refusal, explain_timeout
from region_operator.forecaster import Forecaster
from region_operator.guard_state import GuardStateSaver, RaceError
from region_operator.kube.api import Api, ApiUnavailableError, answer_within
from region_operator.kube.apply import PlanApplier
from region_operator.kube.cronjob_watch import CronJobWatch
from region_operator.kube.quota import apply_quota
from region_operator.kube.status_writer import try_to_write_status, write_status
from region_operator.ledger.handover import Handover
from region_operator.ledger.service import LedgerService
from region_operator.observe import Observation, Observer
from region_operator.plan import status
from region_operator.plan.altered import explain_altered
from region_operator.progress import Progress
from region_operator.regions.hearing import Hearing
from region_operator.regions.source import Table
from region_operator.runtime.garbage import Freezer
from region_operator.scheduler import Scheduler, scheduler_path
from region_operator.spec_trial import SpecTrial
from region_operator.table_owner import TableOwner

if TYPE_CHECKING:
    from datetime import timedelta

    from region_operator.database.store import Database, Store
    from region_operator.regions.handover import SlotHandover

RECONCILE_LIMIT_SECONDS = 600
"""The longest that a reconcile may take. A reconcile that hangs must not prevent all reconciles that follow."""
STATUS_LIMIT_SECONDS = 20
"""The longest that writing the final status may take. A failure is then reported without the status."""


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """A completed reconcile. `unfinished` says what the next reconcile must do at once; "" means nothing.

    `look_in` is when the next reconcile begins at the latest. `taken` says why regions are left to others; "" if none.
    """

    look_in: timedelta
    unfinished: str
    taken: str = ""


class Reconciler:
    """Makes the cluster match the table, one reconcile at a time: a second caller waits. Somebody runs `watch`."""

    def __init__(self, api: Api, store: Store, *, tick_image: str, installation: str = "") -> None:
        self._api = api
        self._store = store
        self._announcer = Announcer(api)
        self._forecaster = Forecaster()
        self._guard_state = GuardStateSaver(api)
        self._freezer = Freezer()
        self._owner = TableOwner(api, name=installation)
        self._one_at_a_time = asyncio.Lock()
        self.watch = CronJobWatch(api)
        self.observer = Observer(api, self.watch, tick_image=tick_image)
        self.ledger = LedgerService(api, retention=store.retention)
        self.hearing = Hearing(store.triggers)
        self._trial = SpecTrial(api)

    @property
    def schema(self) -> str:
        """The revision of the schema of the database that was read last, for people. "" before the first reading."""
        return self._store.description

    async def reconcile(self, namespace: str, name: str) -> ReconcileResult | None:
        """Reconcile one RegionScheduler. Return None if the RegionScheduler is gone.

        Raises ReconcileError, after an attempt to write the failure into the status. Raises ApiUnavailableError if the
        API server is away.
        """
        try:
            async with self._one_at_a_time:
                self.ledger.start_reconcile()
                return await self._reconcile(namespace, name)
        except ApiException as error:
            raise explain_refusal(error) from error

    async def _reconcile(self, namespace: str, name: str) -> ReconcileResult | None:
        limit, progress = asyncio.timeout(RECONCILE_LIMIT_SECONDS), Progress(self._api)
        body = await answer_within(self._api.get(scheduler_path(namespace, name)), seconds=RECONCILE_LIMIT_SECONDS)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        scheduler = Scheduler.from_object(body | {"spec": {}})  # enough to write the status if the spec is invalid
        try:
            scheduler = await self._owner.identify(Scheduler.from_object(body))
            async with limit:
                scheduler = await self._trial.choose(scheduler, again=not self.observer.full_look_in(scheduler))
                database = await self._store.open(make_table=scheduler.spec.source.wants_default_table)
                handover = await self._owner.settle(database, scheduler, full=not self.observer.full_look_in(scheduler))
                observation = await self._observe(database, scheduler, handover)
                observation = await self._forecaster.guard_speedups(
                    database, scheduler, observation, now=self._api.now()
                )
                before, scheduler = scheduler, await self._guard_state.save(scheduler, observation.decision)
                offer = await self._owner.offer(database, scheduler, handover, observation.decision.state)
                await self._announcer.announce_holds(before, scheduler, observation.decision)
                await self._announcer.announce_findings(scheduler, observation.summary, self.hearing.explain_deafness())
                stale = await self._apply(scheduler, observation, database, progress)
                altered = explain_altered(self.watch.cache.cronjobs)
                await self._announcer.announce_alterations(scheduler, altered)
                overcommitment = await self._forecast(database, scheduler, observation)
                clock_skew = await self._announcer.announce_server(scheduler, database.history, self._store.skew)
        except ApiUnavailableError:
            raise
        except RaceError as race:
            return ReconcileResult(self.observer.full_look_in(scheduler), str(race))
        except Exception as error:
            failure = explain_timeout(RECONCILE_LIMIT_SECONDS) if limit.expired() else explain(error)
            await self._write_failure(progress.reported or scheduler, failure or explain_internal(error))
            if failure is None:
                raise
            raise failure from error
        summary = replace(
            observation.summary,
            scheduled=status.count_scheduled(observation.rows, self.watch.cache.cronjobs),
            unfinished=status.explain_unfinished(stale=stale, pending=observation.decision.plan.pending),
            schema_conflict=database.schema_conflict,
            overcommitment=overcommitment,
            deafness=self.hearing.explain_deafness(),
            altered=altered,
            clock_skew=clock_skew,
            refusal=self._trial.refusal,
            offer=offer,
        )
        log_reconciled(summary, unchanged=observation.decision.plan.unchanged)
        scheduler = progress.reported or scheduler
        new = status.status_after_success(scheduler, summary, now=self._api.now())
        await answer_within(write_status(self._api, scheduler, new), seconds=STATUS_LIMIT_SECONDS)
        return ReconcileResult(self.observer.look_in(scheduler, observation), summary.unfinished, summary.taken)

    async def _observe(self, database: Database, scheduler: Scheduler, handover: SlotHandover) -> Observation:
        """Read the table and the cluster, and make sure that the table has our trigger, if any of it is ours."""
        source = scheduler.spec.source
        table = Table.parse(source.table, default_schema=database.schema)
        self.hearing.begin_reading(schema=table.schema, table=table.name)
        observation = await self.observer.observe(database, scheduler, handover, now=self._api.now())
        make = not database.schema_conflict  # the trigger's function is in the schema that is left alone
        found, version = observation.trigger, observation.table_version
        trigger = await self._store.triggers.keep(
            database.engine, columns=source.columns, found=found, version=version, make=make
        )
        if trigger is Trigger.CREATED:  # a change between the reading and the new trigger caused no notification
            return await self.observer.observe(database, scheduler, handover, now=self._api.now())
        return observation

    async def _apply(
        self, scheduler: Scheduler, observation: Observation, database: Database, progress: Progress
    ) -> int:
        """Make the decided changes, and take over the slots. Return how many changes are left. Raises ApplyError."""
        handover, namespace = Handover(database), scheduler.namespace
        plan = await handover.by_code(observation.decision.plan, observation.rows, slots=observation.handover.slots)
        applier = PlanApplier(
            self._api, self.watch, plan, namespace=namespace, render=observation.render, hand_over=handover.to_successor
        )
        applier.on_deleted, applier.on_edit = self.ledger.remember_deletion, self.hearing.measure_edit
        await self._trial.prove(scheduler, plan, applier)
        if observation.quota_due:
            await apply_quota(self._api, observation.quota)
        async with progress.reporting(scheduler, applier):
            applied = await applier.run()
        complete = not (applied.error or applied.stale or plan.pending or observation.unmade)
        complete = complete and len(plan) == len(observation.decision.plan)
        owned = await self._owner.take_over(database, scheduler, observation.handover, complete=complete)
        lives = self.watch.cache.cronjobs
        await self.ledger.save_schedules(database, scheduler, lives, slots=owned, look=observation.look)
        self._freezer.freeze_after(len(plan))
        if applied.error:
            raise applied.error
        return applied.stale

    async def _forecast(self, database: Database, scheduler: Scheduler, observation: Observation) -> str:
        """Return why ticks of the next 24 hours do not fit, after having announced it; "" if all fit."""
        overcommitment = await self._forecaster.explain_overcommitment(database, scheduler, observation.rows)
        await self._announcer.announce_overcommitment(scheduler, overcommitment)
        return overcommitment

    async def _write_failure(self, scheduler: Scheduler, failure: ReconcileError) -> None:
        new = status.status_after_failure(scheduler, failure.reason, str(failure), now=self._api.now())
        await try_to_write_status(self._api, scheduler, new, seconds=STATUS_LIMIT_SECONDS)
