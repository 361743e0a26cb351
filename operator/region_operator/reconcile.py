"""One reconcile: read source, parse schedules, list current, plan, apply, status.

A reconcile takes nothing from the one before: all that it decides on, it reads. What it cannot read (database or API
server away) ends it before anything is written, so that the last state stands; the status says so, it is logged once,
and `pace` tries again.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy.exc
from kubernetes.aio.client import ApiException
from pydantic import ValidationError

from region_operator import events, metrics, status
from region_operator.api import MERGE, Api
from region_operator.apply import ApplyError, apply_plan, apply_quota, list_current
from region_operator.crd import API_VERSION, PLURAL, InvalidSchedule, Scheduler
from region_operator.cronjob import Manifest, render_cronjob, render_quota
from region_operator.database.store import SchemaError, Store
from region_operator.plan import Desired, make_plan, parse_schedules
from region_operator.settings import MissingDatabaseUrlError
from region_operator.source import read_regions
from region_operator.status import Outcome, ReadyReason, Status
from region_tick.database_url import DatabaseUrlError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from region_operator.region import Quarantined

log = logging.getLogger(__name__)


class ReconcileError(Exception):
    """A reconcile that did not come to its end; `reason` is what the status says."""

    def __init__(self, reason: ReadyReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Reconciler:
    """Makes the cluster true to the table, as often as it is asked. One at a time: its caller sees to that."""

    def __init__(self, api: Api, store: Store, *, tick_image: str) -> None:
        self._api = api
        self._store = store
        self._tick_image = tick_image
        self._quarantined: dict[str, Quarantined] = {}

    async def reconcile(self, namespace: str, name: str) -> timedelta | None:
        """Reconcile one RegionScheduler; return its refresh interval, None where it is gone.

        Raises ReconcileError after the status was written, and what `api.ERRORS` lists where the API server is away.
        """
        path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}/{name}"
        body = await self._api.get(path)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        scheduler = Scheduler.from_object(body | {"spec": {}})  # enough to write the status of a spec that is no good
        try:
            scheduler = Scheduler.from_object(body)
            outcome = await self._converge(scheduler)
        except Exception as error:
            failure = _explain(error)
            if failure is None:
                raise
            ill = status.failed(scheduler, failure.reason, str(failure), now=_now())
            await self._write_status(path, scheduler, ill)
            raise failure from error
        await self._write_status(path, scheduler, status.succeeded(scheduler, outcome, now=_now()))
        return scheduler.spec.refresh_interval

    async def _converge(self, scheduler: Scheduler) -> Outcome:
        spec = scheduler.spec
        database = await self._store.open()
        rows = await read_regions(database.engine, spec.source, default_schema=database.schema)
        desired, quarantined = parse_schedules(rows)
        current = await list_current(self._api, scheduler.namespace)
        plan = make_plan(
            desired,
            quarantined,
            current,
            render=partial(self._render, scheduler),
            keep_last=spec.invalid_schedule is InvalidSchedule.KEEP_LAST,
        )
        quota_changed = await apply_quota(self._api, render_quota(scheduler))
        await self._report(scheduler, quarantined)
        await apply_plan(self._api, plan, scheduler.namespace)
        changed = quota_changed or len(plan) > 0
        counts = {"active": len(rows), "scheduled": len(desired), "quarantined": len(quarantined)}
        for state, count in counts.items():
            metrics.REGIONS.labels(state).set(count)
        log.log(logging.INFO if changed else logging.DEBUG, "reconciled", extra=counts | {"unchanged": plan.unchanged})
        return Outcome(active=len(rows), scheduled=len(desired), quarantined=quarantined, changed=changed)

    def _render(self, scheduler: Scheduler, desired: Desired, name: str) -> Manifest:
        return render_cronjob(
            desired.region,
            desired.schedule,
            scheduler,
            name=name,
            tick_image=self._tick_image,
            suspend=desired.suspend or scheduler.spec.suspend,
        )

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

    async def _write_status(self, path: str, scheduler: Scheduler, new: Status) -> None:
        if new != scheduler.status:
            await self._api.request("PATCH", f"{path}/status", body={"status": new}, content_type=MERGE)


def _explain(error: Exception) -> ReconcileError | None:
    """Give a failure its reason and a message for people; None for one of this program, not of the world."""
    match error:
        case ValidationError():
            return ReconcileError(ReadyReason.INVALID_SPEC, f"spec cannot be followed: {error}")
        case MissingDatabaseUrlError():
            return ReconcileError(ReadyReason.DATABASE_NOT_CONFIGURED, str(error))
        case DatabaseUrlError():
            return ReconcileError(ReadyReason.DATABASE_NOT_CONFIGURED, f"DATABASE_URL cannot be used: {error}")
        case SchemaError():
            return ReconcileError(ReadyReason.SCHEMA_MISMATCH, str(error))
        case sqlalchemy.exc.ProgrammingError():
            return ReconcileError(
                ReadyReason.SOURCE_UNREADABLE, f"the region table cannot be read: {_first_line(error.orig)}"
            )
        case sqlalchemy.exc.SQLAlchemyError() | OSError() | TimeoutError():
            cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
            return ReconcileError(
                ReadyReason.DATABASE_UNAVAILABLE, f"the database cannot be reached: {_first_line(cause)}"
            )
        case ApplyError():
            return ReconcileError(ReadyReason.APPLY_FAILED, str(error))
        case ApiException():
            return ReconcileError(ReadyReason.APPLY_FAILED, f"the API server refused: {error.status} {error.reason}")
    return None


def _first_line(error: object) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _now() -> datetime:
    return datetime.now(UTC)
