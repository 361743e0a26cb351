"""Saves the schedule versions after each reconcile: all of them at a full look, in between only those that changed.

What was saved last is remembered, so a reconcile that changed nothing asks the database for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.ledger.region_schedule_queries import save_changed_versions, save_versions
from region_operator.ledger.schedule_versions import VersionReader
from region_operator.regions.slots import slot_of
from region_operator.regions.source import Table

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.database.store import Database
    from region_operator.ledger.schedule_versions import RegionKey, ScheduleVersion
    from region_operator.regions.slots import Slots
    from region_operator.scheduler import Scheduler


class ScheduleSaver:
    """Keeps region_schedule equal to what the CronJobs say."""

    def __init__(self) -> None:
        self._reader = VersionReader()
        self._saved: dict[RegionKey, ScheduleVersion] = {}
        self._saved_for: tuple[AsyncEngine, str, str, Slots, int] | None = None
        self._deleted_at: dict[str, datetime] = {}
        """When this operator deleted which CronJobs, without a successor, since the last save."""

    def remember_deletion(self, cronjob: str, deleted_at: datetime) -> None:
        """Keep in mind when a CronJob was deleted (the API server's clock), until a save has succeeded."""
        self._deleted_at[cronjob] = deleted_at

    async def save(
        self,
        database: Database,
        scheduler: Scheduler,
        cronjobs: Collection[LiveCronJob],
        *,
        slots: Slots,
        look: int,
    ) -> None:
        """Save the versions that the CronJobs say, in the `slots` that this installation owns.

        All versions are compared after another full look (`look` is its number), for another database, table or other
        slots, and if a CronJob ticks for another table: then it matters who owns that table's rows.

        Raises sqlalchemy.exc.DBAPIError.
        """
        source = str(Table.parse(scheduler.spec.source.table, default_schema=database.schema))
        found = self._reader.read(cronjobs)
        saved_for = database.engine, scheduler.installation, source, slots, look
        before, known_for = self._saved, self._saved_for
        changed = []
        if found is not before:
            changed = [key for key in before | found if before.get(key) is not found.get(key)]
        self._saved_for = None  # until the save has succeeded, nothing is known
        if saved_for != known_for or any(other != source for other, _ in changed):
            await save_versions(
                database.engine, found, installation=scheduler.installation, deleted_at=self._deleted_at
            )
        elif own := [key for key in changed if slot_of(key[1]) in slots]:
            await save_changed_versions(
                database.engine, found, own, installation=scheduler.installation, deleted_at=self._deleted_at
            )
        self._saved, self._saved_for = found, saved_for
        self._deleted_at.clear()
