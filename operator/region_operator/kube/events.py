"""Posts Kubernetes Events about regions on the RegionScheduler.

At most EVENTS_AT_ONCE Events are posted at once. One more Event gives the number of the rest. Events are a courtesy, so
no reconcile waits longer than POST_LIMIT_SECONDS for an Event. Which findings get an Event, and when, is left to
`announce`.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import uuid4

from region_operator.cronjobs.labels import FIELD_MANAGER
from region_operator.kube.api import ERRORS, Api
from region_operator.plan.status import MESSAGE_LIMIT
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

EVENTS_AT_ONCE = 10
POST_LIMIT_SECONDS = 5


class EventReason(StrEnum):
    """The reasons of the Events. Each Event is a Warning on the RegionScheduler."""

    QUARANTINED = "RegionQuarantined"
    """A row cannot be scheduled. The message names the row and says what to write instead."""
    DELETIONS_HELD = "DeletionsHeld"
    """The deletion guard begins to hold deletions. The message says how to approve the deletions."""
    QUARANTINES_HELD = "QuarantinesHeld"
    """Too many rows are bad at once, so their regions run on. The message says how to stop them all the same."""
    SLOWDOWNS_HELD = "SlowdownsHeld"
    """Too many regions would tick far less often at once. The message says how to approve that."""
    SPEEDUPS_HELD = "SpeedupsHeld"
    """Too many regions would tick far more often at once, and ticks would be lost. The message says how to approve
    that."""
    CREATIONS_HELD = "CreationsHeld"
    """Too many new regions came at once. The message says how to approve them."""
    SUSPENDED = "Suspended"
    """All regions are suspended. The message says by whom, until when and why."""
    QUOTA_TAKEN = "QuotaTaken"
    """Another ResourceQuota has our name, so the number of ticks at once is not limited."""
    ALTERED = "CronJobsAltered"
    """An admission policy or webhook changes the CronJobs as they are written. The message names the first ones."""
    OVERCOMMITTED = "Overcommitted"
    """Ticks of the next 24 hours will be lost. The message names the worst minutes and says what would be enough."""
    DEAF = "EditsUnheard"
    """Edits of the table show at the refresh interval only. The message says why, and what to do."""
    REPLACED = "DatabaseReplaced"
    """The database was restored or promoted, or is another server. The message says what may be lost."""
    CLOCK_SKEW = "ClockSkew"
    """The clocks of the database and the API server differ by more than 10 s. The message says what that does."""


async def post_warnings(api: Api, scheduler: Scheduler, *, reason: EventReason, messages: Sequence[str]) -> None:
    """Post a Warning for each of the first EVENTS_AT_ONCE messages, and one Warning that counts the rest."""
    posted, rest = list(messages[:EVENTS_AT_ONCE]), len(messages) - EVENTS_AT_ONCE
    if rest > 0:
        posted.append(f"and {rest} more, which the operator's log names")
    await asyncio.gather(*(post_warning(api, scheduler, reason=reason, message=message) for message in posted))


async def post_warning(api: Api, scheduler: Scheduler, *, reason: EventReason, message: str) -> None:
    """Post a Warning on the RegionScheduler. Log an Event that cannot be posted, and raise nothing."""
    now = format_time(datetime.now(UTC))
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{scheduler.name}.{uuid4().hex[:16]}", "namespace": scheduler.namespace},
        "involvedObject": scheduler.reference,
        "type": "Warning",
        "reason": reason,
        "message": message[:MESSAGE_LIMIT],
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        async with asyncio.timeout(POST_LIMIT_SECONDS):
            await api.request("POST", f"/api/v1/namespaces/{scheduler.namespace}/events", body=event)
    except (*ERRORS, TimeoutError) as error:
        log.warning("event not posted", extra={"reason": reason, "error": str(error)})
