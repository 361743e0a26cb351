"""Keeps an installation to the regions that it owns: which slots a reconcile goes by, and which it takes over.

What is decided is left to `regions.handover`. While the operator cannot write to its own tables, nothing changes hands:
the operator goes by what it reads or knew last, and takes regions without an owner for its own. CronJobs matter more
than owners, and a claim refuses what is not its installation's.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import errors
from sqlalchemy.exc import DBAPIError

from region_operator.regions.handover import decide, explain_offer, nobody
from region_operator.regions.slot_owners import read_handover, settle, take_over, write_offers
from region_operator.regions.slots import slots_of_shard
from region_operator.regions.source import Table

if TYPE_CHECKING:
    from region_operator.database.store import Database
    from region_operator.kube.api import Api
    from region_operator.plan.guard_memory import GuardState
    from region_operator.regions.handover import SlotHandover
    from region_operator.regions.slots import Slots
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

_NONE: Slots = frozenset()


async def identify(api: Api, namespace: str, *, name: str) -> str:
    """Return who this installation is on a database that others use too: `name`, or the uid of its namespace.

    The uid survives a RegionScheduler that is made anew. Raises what `api.ERRORS` lists.
    """
    if name:
        return name
    body = await api.get(f"/api/v1/namespaces/{namespace}")
    return str(body["metadata"]["uid"]) if body else namespace


async def look_at_owners(database: Database, scheduler: Scheduler) -> SlotHandover:
    """Return which slots a reconcile would go by, for a command that changes nothing. Raises SQLAlchemy's errors."""
    return await read_handover(database.engine, scheduler, _source(database, scheduler))


class TableOwner:
    """Settles with other installations who owns what, reconcile by reconcile. `name` is INSTALLATION, "" if unset."""

    def __init__(self, api: Api, *, name: str) -> None:
        self._api = api
        self._name = name
        self._last: SlotHandover | None = None

    async def identify(self, scheduler: Scheduler) -> Scheduler:
        """Return the RegionScheduler with its installation. Raises what `api.ERRORS` lists."""
        self._name = await identify(self._api, scheduler.namespace, name=self._name)
        return scheduler.model_copy(update={"installation": self._name})

    async def settle(self, database: Database, scheduler: Scheduler, *, full: bool) -> SlotHandover:
        """Return which slots this reconcile goes by, after what is to be written before. `full` is a full look.

        Raises SQLAlchemy's errors.
        """
        source = _source(database, scheduler)
        if not database.schema_conflict:
            try:
                self._last = await settle(database.engine, scheduler, source, full=full)
            except DBAPIError as error:
                if not isinstance(error.orig, errors.ReadOnlySqlTransaction):
                    raise
                self._last = await read_handover(database.engine, scheduler, source)
            else:
                return self._last
        elif self._last is None or self._last.standing.source != source:
            wanted = slots_of_shard(scheduler.spec.source.shard)
            self._last = decide(nobody(source, datetime.now(UTC)), scheduler, wanted=wanted)
        return replace(self._last, taking=_NONE, let_go=_NONE)

    async def offer(self, database: Database, scheduler: Scheduler, handover: SlotHandover, guards: GuardState) -> str:
        """Offer the slots that this installation no longer wants, or none if the `guards` hold changes.

        Return what is offered, for people. A read-only database changes no offer. Raises SQLAlchemy's errors.
        """
        handover = handover.while_holding() if guards.holds else handover
        if (handover.offer or handover.keep) and not database.schema_conflict:
            try:
                await write_offers(database.engine, handover, scheduler)
            except DBAPIError as error:
                if not isinstance(error.orig, errors.ReadOnlySqlTransaction):
                    raise
        return explain_offer(handover)

    async def take_over(
        self, database: Database, scheduler: Scheduler, handover: SlotHandover, *, complete: bool
    ) -> Slots:
        """Become the owner of the slots to take over, if all CronJobs are made (`complete`). Return all slots owned.

        A read-only database changes no owner. Raises SQLAlchemy's errors.
        """
        if not (complete and handover.taking):
            return handover.owned
        try:
            taken = await take_over(database.engine, handover, scheduler)
        except DBAPIError as error:
            if not isinstance(error.orig, errors.ReadOnlySqlTransaction):
                raise
            return handover.owned
        owners = {handover.standing.owners[slot].installation for slot in taken}
        log.info("taken over", extra={"slots": len(taken), "of": len(handover.taking), "owners": sorted(owners)})
        return handover.owned | taken


def _source(database: Database, scheduler: Scheduler) -> str:
    return str(Table.parse(scheduler.spec.source.table, default_schema=database.schema))
