"""Plans once, for whoever only wants to know: what a reconcile would do now, in words. Nothing is changed.

The commands `plan` and `forecast` print the Report, the console shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.forecaster import forecast_now
from region_operator.kube.cronjob_watch import CronJobWatch
from region_operator.observe import Observer
from region_operator.plan.report import Report, make_report
from region_operator.plan.speedup_guard import guard_speedups
from region_operator.regions.handover import explain_offer, explain_takeover
from region_operator.scheduler import DEFAULT_NAME, Scheduler, scheduler_path
from region_operator.spec_trial import SpecTrial
from region_operator.table_owner import identify, look_at_owners

if TYPE_CHECKING:
    from region_operator.database.store import Database
    from region_operator.kube.api import Api
    from region_operator.settings import Settings


class MissingSchedulerError(Exception):
    """The namespace has no RegionScheduler. The message says what to create."""

    def __init__(self, namespace: str) -> None:
        super().__init__(
            f"namespace {namespace} has no RegionScheduler {DEFAULT_NAME}: create it, or run the operator, which makes"
            " the first one of a namespace"
        )


async def make_plan(api: Api, database: Database, settings: Settings) -> Report:
    """Read the table and the cluster and report what a reconcile would do.

    Raises MissingSchedulerError, the errors that `errors.explain` knows, and the errors in `api.ERRORS`.
    """
    body = await api.get(scheduler_path(settings.namespace, DEFAULT_NAME))
    if body is None:
        raise MissingSchedulerError(settings.namespace)
    installation = await identify(api, settings.namespace, name=settings.installation)
    scheduler, refusal = await SpecTrial(api).look(Scheduler.from_object(body, installation=installation))
    observer = Observer(api, CronJobWatch(api), tick_image=settings.tick_image)
    handover = await look_at_owners(database, scheduler)
    now = api.now()
    observation = await observer.observe(database, scheduler, handover, now=now)
    forecast = await forecast_now(database, scheduler, observation.rows)
    decision = guard_speedups(
        observation.decision, overcommitted=not forecast.fits, approval=scheduler.approval, now=now
    )
    quota = observation.quota.concurrency if observation.quota_due else None
    summary = observation.summary
    offer = explain_offer(handover.while_holding() if decision.state.holds else handover)
    problems = filter(None, (refusal, summary.quota_conflict, explain_takeover(handover), offer, summary.taken))
    return make_report(decision, summary.quarantined, scheduler, forecast, quota=quota, problems=problems)
