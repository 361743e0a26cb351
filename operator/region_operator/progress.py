"""Says how far a long plan has been carried out: a log line, a metric and the condition Reconciling, every 5 seconds.

A report may arrive although its answer did not. So the status that was reported last is taken for the RegionScheduler's
status, and the final status, which has no such report, is written over that.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

from region_operator.kube.status_writer import try_to_write_status
from region_operator.plan.status import status_while_applying
from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from region_operator.kube.api import Api
    from region_operator.kube.apply import PlanApplier
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

REPORT_EVERY_SECONDS = 5.0


class Progress:
    """Reports on the plans of one reconcile. `reported` is the RegionScheduler as the last report left its status."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.reported: Scheduler | None = None

    @asynccontextmanager
    async def reporting(self, scheduler: Scheduler, applier: PlanApplier) -> AsyncIterator[None]:
        """Report while the block carries out a plan."""
        metrics.PENDING_CHANGES.set(applier.total)
        reporting = asyncio.create_task(self._report(scheduler, applier))
        try:
            yield
        finally:
            reporting.cancel()
            await asyncio.wait({reporting})
            metrics.PENDING_CHANGES.set(0)

    async def _report(self, scheduler: Scheduler, applier: PlanApplier) -> NoReturn:
        while True:
            await asyncio.sleep(REPORT_EVERY_SECONDS)
            done, total = applier.tried, applier.total
            metrics.PENDING_CHANGES.set(total - done)
            log.info("applying", extra={"done": done, "of": total})
            before = self.reported or scheduler
            status = status_while_applying(before, done=done, total=total, now=self._api.now())
            self.reported = before.model_copy(update={"status": status})
            await try_to_write_status(self._api, before, status, seconds=REPORT_EVERY_SECONDS)
