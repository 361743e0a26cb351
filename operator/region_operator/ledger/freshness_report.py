"""Shows in the metrics how late the regions of an installation are: reads, computes in a thread, shows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from region_operator.ledger.freshness import sum_up
from region_operator.ledger.last_success_queries import read_ticking_regions
from region_operator.runtime.freshness_metrics import FRESHNESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.scheduler import Objective


async def report_freshness(
    engine: AsyncEngine, *, installation: str, objective: Objective, is_wanted: Callable[[], bool]
) -> None:
    """Serve how late the regions of `installation` are. After an error, what was served before stands.

    Nothing is served if the answer is no longer wanted when it comes.

    Raises sqlalchemy.exc.SQLAlchemyError, TimeoutError.
    """
    now, regions = await read_ticking_regions(engine, installation=installation)
    found = await asyncio.to_thread(sum_up, regions, now=now, within=objective.succeed_within_intervals)
    if is_wanted():
        FRESHNESS.show(
            regions=found.regions, late=found.late, behind=found.behind, latest=found.latest, objective=objective.share
        )
