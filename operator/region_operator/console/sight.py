"""What all pages share: the RegionScheduler, the regions and the plan, each asked for once in a while for everybody.

So twenty people who look every second cost as much as one. A reading of the regions is some seconds old, and a plan up
to some minutes: the pages say of when they are. A program that asks for the plan gets a plan of the last seconds.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from region_operator.console.cached import Cached
from region_operator.console.database import Reader
from region_operator.console.snapshot import Snapshot, SnapshotReader
from region_operator.planning import MissingSchedulerError, make_plan
from region_operator.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from region_operator.console.cluster import Cluster
    from region_operator.console.settings import ConsoleSettings
    from region_operator.kube.api import Api
    from region_operator.plan.report import Report

SCHEDULER_SECONDS = 1.0
REGIONS_SECONDS = 5.0
PLAN_SECONDS = 30.0
IMAGE_SECONDS = 60.0

STALE_REGIONS_SECONDS, STALE_SECONDS = 30.0, 600.0
"""How old an answer may be that is given while a newer one is under way: the regions, and all else."""

FRESH_PLAN_SECONDS = 5.0
"""How old a plan may be that somebody may act on."""

LEDGERS_AT_ONCE = 2
"""How many pages of the ledger are read at once: half of the connections, so that the other pages stay quick."""
LEDGER_WAIT_SECONDS = 10.0


class BusyError(Exception):
    """Too many people read the ledger."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What the operator would do, and when that was asked (UTC)."""

    report: Report
    at: datetime


class Sight:
    """The console's view of one RegionScheduler and its table."""

    def __init__(self, api: Api, cluster: Cluster, settings: ConsoleSettings) -> None:
        self._api, self._settings = api, settings
        self.cluster = cluster
        self.reader = Reader(settings.read_database_url)
        self._snapshots = SnapshotReader(self.reader)
        self._scheduler = Cached(self._read_scheduler, fresh_seconds=SCHEDULER_SECONDS)
        self._snapshot = Cached(self._read_snapshot, fresh_seconds=REGIONS_SECONDS, stale_seconds=STALE_REGIONS_SECONDS)
        self._planned = Cached(self._plan, fresh_seconds=PLAN_SECONDS, stale_seconds=STALE_SECONDS)
        self._ledgers = asyncio.Semaphore(LEDGERS_AT_ONCE)
        self._image = Cached(cluster.operator_image, fresh_seconds=IMAGE_SECONDS, stale_seconds=STALE_SECONDS)

    async def scheduler(self) -> Scheduler:
        """Return the RegionScheduler. Raises MissingSchedulerError and what `api.ERRORS` lists."""
        return await self._scheduler.get()

    async def snapshot(self) -> Snapshot:
        """Return all regions, as they were some seconds ago at most while people look.

        Raises what `scheduler` raises, the errors of `regions.source`, and what `Reader.reading` raises.
        """
        return await self._snapshot.get()

    async def planned(self, *, oldest_seconds: float = STALE_SECONDS) -> Planned:
        """Return what the operator would do. Raises what `planning.make_plan` raises."""
        return await self._planned.get(oldest_seconds=oldest_seconds)

    @property
    def last_planned(self) -> Planned | None:
        """The latest plan that anybody asked for; None before the first."""
        return self._planned.latest

    async def operator_image(self) -> str | None:
        """Return the image that the operator runs. Raises what `api.ERRORS` lists."""
        return await self._image.get()

    @asynccontextmanager
    async def reading_ledger(self) -> AsyncIterator[AsyncConnection]:
        """Run the body in a transaction for a page of the ledger, which may take long.

        Raises BusyError, and what `Reader.reading` raises.
        """
        try:
            await asyncio.wait_for(self._ledgers.acquire(), LEDGER_WAIT_SECONDS)
        except TimeoutError:
            raise BusyError(f"others read the ledger, for more than {LEDGER_WAIT_SECONDS:g} s") from None
        try:
            async with self.reader.reading() as connection:
                yield connection
        finally:
            self._ledgers.release()

    def now(self) -> datetime:
        """Return the database's time (UTC); before its first answer, this process's."""
        return self._snapshots.clock.now() or datetime.now(UTC)

    async def close(self) -> None:
        """End what is under way, and close the connections to the database."""
        for cached in (self._scheduler, self._snapshot, self._planned, self._image):
            await cached.close()
        await self.reader.close()

    async def _read_scheduler(self) -> Scheduler:
        body = await self.cluster.scheduler()
        if body is None:
            raise MissingSchedulerError(self.cluster.namespace)
        return Scheduler.from_object(body, installation=self._settings.installation)

    async def _read_snapshot(self) -> Snapshot:
        return await self._snapshots.read(await self.scheduler())

    async def _plan(self) -> Planned:
        await self.snapshot()
        began = self.now()
        return Planned(await make_plan(self._api, await self.reader.open(), self._settings), began)
