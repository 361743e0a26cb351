"""Says what a reconcile found, once: a line in the log and an Event when something begins, a line when it ends.

Nothing here changes a CronJob or a status. What was announced is remembered by this process only, so another leader
announces what still lasts once more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from region_operator.kube import events
from region_operator.plan.deletion_guard import History, explain_hold
from region_operator.plan.status import HELD, ReadyReason
from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from region_operator.kube.api import Api
    from region_operator.observe import Observation
    from region_operator.plan.deletion_guard import Decision
    from region_operator.regions.region import Quarantined
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)


class Announcer:
    """Announces what begins and ends for the regions and the quota of one RegionScheduler."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._quarantined: dict[str, Quarantined] = {}
        self._quota_conflict = ""

    async def announce_hold(self, before: Scheduler, after: Scheduler, decision: Decision) -> None:
        """Announce that deletions are held, or no more: `before` and `after` are the RegionScheduler around the write
        of the guard's decision into its status.
        """
        metrics.HELD_DELETIONS.set(len(decision.held))
        hold, hold_before = decision.history.hold, History.from_status(before.status).hold
        if hold and hold != hold_before:
            message = explain_hold(hold, decision.held, after)
            log.warning("deletions held", extra={"held": len(decision.held), "reason": message})
            if not hold_before:
                await events.post_warning(self._api, after, reason=HELD, message=message)
        if hold_before and not hold:
            log.info("hold ended", extra={"approved": len(decision.history.approved)})

    async def announce_quarantines(self, scheduler: Scheduler, quarantined: Sequence[Quarantined]) -> None:
        """Announce each quarantine that begins or whose reason changes, and log each that ends."""
        now = {row.id: row for row in quarantined}
        new = [row for row in quarantined if self._quarantined.get(row.id) != row]
        for row in new:
            log.warning("quarantined", extra={"region.id": row.id, "region.code": row.code, "reason": row.reason})
        for row in self._quarantined.values():
            if row.id not in now:
                log.info("quarantine ended", extra={"region.id": row.id, "region.code": row.code})
        self._quarantined = now
        messages = [f"region {row.code or row.id}: {row.reason}" for row in new]
        await events.post_warnings(self._api, scheduler, reason="RegionQuarantined", messages=messages)

    async def announce_quota_conflict(self, scheduler: Scheduler, conflict: str) -> None:
        """Announce that the ResourceQuota is somebody else's, in the words of `conflict`; log that it is so no more."""
        before, self._quota_conflict = self._quota_conflict, conflict
        if conflict and not before:
            log.warning("quota not ours", extra={"reason": conflict})
            await events.post_warning(self._api, scheduler, reason=ReadyReason.QUOTA_TAKEN, message=conflict)
        if before and not conflict:
            log.info("quota ours again")


def log_foreign_deletions(names: Iterable[str]) -> None:
    """Log the CronJobs that somebody else has deleted."""
    for name in names:
        log.info("deleted by another", extra={"cronjob": name})


def log_reconciled(observation: Observation) -> None:
    """Count and log what a reconcile left: at INFO where something changed, else at DEBUG."""
    summary = observation.summary
    counts: Mapping[str, Any] = {
        "active": summary.active,
        "scheduled": summary.scheduled,
        "quarantined": len(summary.quarantined),
        "paused": summary.paused,
    }
    for state, count in counts.items():
        metrics.REGIONS.labels(state).set(count)
    extra = {**counts, "held": summary.held, "unchanged": observation.decision.plan.unchanged}
    log.log(logging.INFO if summary.changed else logging.DEBUG, "reconciled", extra=extra)
