"""Says how far a long plan has been carried out: a log line, a metric and the condition Reconciling, every 5 seconds.

A plan that is done sooner leaves nothing behind but its log lines.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime
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


@asynccontextmanager
async def report_progress(api: Api, scheduler: Scheduler, applier: PlanApplier) -> AsyncIterator[None]:
    """Report while the block carries out a plan. Afterwards the status is as it was before the block."""
    metrics.PENDING_CHANGES.set(applier.total)
    reporter = _Reporter(api, scheduler)
    reporting = asyncio.create_task(reporter.run(applier))
    try:
        yield
    finally:
        reporting.cancel()
        await asyncio.wait({reporting})
        metrics.PENDING_CHANGES.set(0)
        await reporter.take_back()


class _Reporter:
    def __init__(self, api: Api, scheduler: Scheduler) -> None:
        self._api = api
        self._before = self._reported = scheduler

    async def run(self, applier: PlanApplier) -> NoReturn:
        while True:
            await asyncio.sleep(REPORT_EVERY_SECONDS)
            done, total = applier.tried, applier.total
            metrics.PENDING_CHANGES.set(total - done)
            log.info("applying", extra={"done": done, "of": total})
            status = status_while_applying(self._before, done=done, total=total, now=datetime.now(UTC))
            self._reported = await self._write(status)

    async def take_back(self) -> None:
        """Write the status as it was before the first report, if there was a report."""
        if self._reported is not self._before:
            await self._write(self._before.status)

    async def _write(self, status: dict[str, object]) -> Scheduler:
        return await try_to_write_status(self._api, self._reported, status, seconds=REPORT_EVERY_SECONDS)
