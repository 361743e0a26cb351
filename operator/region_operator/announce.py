"""Announces the findings of a reconcile, each once: a log line and an Event at the beginning, a log line at the end.

This module changes no CronJob and no status. Only this process remembers its announcements. So a new leader announces
again every finding that still lasts.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from region_operator.database.history import explain_change
from region_operator.kube import events
from region_operator.plan.changes import Guarded
from region_operator.plan.clock_skew import explain_skew
from region_operator.plan.guard_memory import GuardState
from region_operator.plan.hold_report import explain_hold
from region_operator.plan.status import HISTORY_FIELD
from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from region_operator.kube.api import Api
    from region_operator.plan.deletion_guard import Decision
    from region_operator.plan.summary import ReconcileSummary
    from region_operator.regions.region import Quarantined
    from region_operator.runtime.remote_clock import Skew
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)


_EVENTS = {
    Guarded.DELETION: events.EventReason.DELETIONS_HELD,
    Guarded.QUARANTINE: events.EventReason.QUARANTINES_HELD,
    Guarded.SLOWDOWN: events.EventReason.SLOWDOWNS_HELD,
    Guarded.SPEEDUP: events.EventReason.SPEEDUPS_HELD,
    Guarded.CREATION: events.EventReason.CREATIONS_HELD,
}


class Announcer:
    """Announces the begin and the end of what a RegionScheduler's reconciles find."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._suspension = ""
        self._quarantined: dict[str, Quarantined] = {}
        self._quota_conflict = ""
        self._altered = ""
        self._pause_problem = ""
        self._overcommitment = ""
        self._deafness = ""
        self._clock_skew = ""

    async def announce_holds(self, before: Scheduler, after: Scheduler, decision: Decision) -> None:
        """Announce each hold that begins, and log each hold that ends.

        `before` and `after` are the RegionScheduler before and after the guards' decision was saved in the status.
        """
        metrics.HELD_DELETIONS.set(len(decision.held_of(Guarded.DELETION)))
        holds_before = GuardState.from_status(before.status).holds
        for kind in Guarded:
            held = decision.held_of(kind)
            metrics.HELD_CHANGES.labels(kind).set(len(held))
            hold, hold_before = decision.state.holds.get(kind), holds_before.get(kind)
            if hold and hold != hold_before:
                message = explain_hold(hold, held, after, unknown=decision.is_past_unknown)
                log.warning("changes held", extra={"kind": kind, "held": len(held), "reason": message})
                if not hold_before:
                    await events.post_warning(self._api, after, reason=_EVENTS[kind], message=message)
            if hold_before and not hold:
                log.info("hold ended", extra={"kind": kind, "approved": len(decision.state.approved.get(kind, ()))})

    async def announce_findings(self, scheduler: Scheduler, summary: ReconcileSummary, deafness: str) -> None:
        """Announce what an observation found of rows and of the quota, and whether edits are heard."""
        await self.announce_suspension(scheduler, str(summary.suspension or ""))
        await self.announce_quarantines(scheduler, summary.quarantined)
        await self.announce_quota_conflict(scheduler, summary.quota_conflict)
        self._log_pauses(summary.pause_problem)
        await self.announce_deafness(scheduler, deafness)

    async def announce_suspension(self, scheduler: Scheduler, suspension: str) -> None:
        """Announce that all regions are suspended, and log that they are no longer.

        `suspension` says by whom, since when, until when and why; "" means that they are not suspended.
        """
        before, self._suspension = self._suspension, suspension
        if suspension and suspension != before:
            message = f"all regions are suspended {suspension}"
            log.warning("all suspended", extra={"reason": message})
            await events.post_warning(self._api, scheduler, reason=events.EventReason.SUSPENDED, message=message)
        if before and not suspension:
            log.info("all resumed", extra={"reason": f"they were suspended {before}"})

    async def announce_quarantines(self, scheduler: Scheduler, quarantined: Sequence[Quarantined]) -> None:
        """Announce every quarantine that begins or changes its reason. Log every quarantine that ends."""
        now = {row.id: row for row in quarantined}
        new = [row for row in quarantined if self._quarantined.get(row.id) != row]
        for row in new:
            log.warning("quarantined", extra={"region.id": row.id, "region.code": row.code, "reason": row.reason})
        for row in self._quarantined.values():
            if row.id not in now:
                log.info("quarantine ended", extra={"region.id": row.id, "region.code": row.code})
        self._quarantined = now
        messages = [f"region {row.code or row.id}: {row.reason}" for row in new]
        await events.post_warnings(self._api, scheduler, reason=events.EventReason.QUARANTINED, messages=messages)

    async def announce_quota_conflict(self, scheduler: Scheduler, conflict: str) -> None:
        """Announce that the ResourceQuota belongs to somebody else, and log the end of the conflict.

        `conflict` explains the conflict; "" means that there is none.
        """
        before, self._quota_conflict = self._quota_conflict, conflict
        if conflict and not before:
            log.warning("quota not ours", extra={"reason": conflict})
            await events.post_warning(self._api, scheduler, reason=events.EventReason.QUOTA_TAKEN, message=conflict)
        if before and not conflict:
            log.info("quota ours again")

    async def announce_alterations(self, scheduler: Scheduler, altered: str) -> None:
        """Announce that an admission policy changes the CronJobs, and log that it does so no more.

        `altered` explains which; "" means that none is changed.
        """
        before, self._altered = self._altered, altered
        if altered and not before:
            log.warning("altered by admission", extra={"reason": altered})
            await events.post_warning(self._api, scheduler, reason=events.EventReason.ALTERED, message=altered)
        if before and not altered:
            log.info("no longer altered by admission")

    def _log_pauses(self, problem: str) -> None:
        """Log the pauses whose end cannot be read. `problem` names them; "" means that there are none."""
        before, self._pause_problem = self._pause_problem, problem
        if problem and problem != before:
            log.warning("pause without an end", extra={"reason": problem})

    async def announce_overcommitment(self, scheduler: Scheduler, overcommitment: str) -> None:
        """Announce that ticks of the next 24 hours do not fit, and log that they fit again.

        `overcommitment` explains what does not fit; "" means that all fits.
        """
        before, self._overcommitment = self._overcommitment, overcommitment
        if overcommitment and not before:
            log.warning("overcommitted", extra={"reason": overcommitment})
            reason = events.EventReason.OVERCOMMITTED
            await events.post_warning(self._api, scheduler, reason=reason, message=overcommitment)
        if before and not overcommitment:
            log.info("no longer overcommitted")

    async def announce_deafness(self, scheduler: Scheduler, deafness: str) -> None:
        """Announce that edits are not heard. The log has a line of each part already.

        `deafness` explains why; "" means that edits are heard.
        """
        before, self._deafness = self._deafness, deafness
        if deafness and not before:
            await events.post_warning(self._api, scheduler, reason=events.EventReason.DEAF, message=deafness)

    async def announce_server(self, scheduler: Scheduler, history: str, skew: Skew | None) -> str:
        """Announce what is new about the database's server: another history, and a clock that differs by much.

        Return what the skew does to ticks, for people; "" if nothing.
        """
        if change := explain_change(scheduler.status.get(HISTORY_FIELD, ""), history):
            log.warning("database replaced", extra={"reason": change})
            await events.post_warning(self._api, scheduler, reason=events.EventReason.REPLACED, message=change)
        return await self._announce_clock_skew(scheduler, skew)

    async def _announce_clock_skew(self, scheduler: Scheduler, skew: Skew | None) -> str:
        """Announce that the database's clock and the API server's differ by much, and log that they agree again.

        Return what the skew does to ticks, for people; "" if nothing.
        """
        if skew is not None:
            metrics.CLOCK_SKEW.set(skew.seconds)
        before, self._clock_skew = self._clock_skew, explain_skew(skew)
        if self._clock_skew and not before:
            extra = {"reason": self._clock_skew, "seconds": skew and round(skew.seconds, 1)}
            log.warning("clock skew", extra=extra)
            reason = events.EventReason.CLOCK_SKEW
            await events.post_warning(self._api, scheduler, reason=reason, message=self._clock_skew)
        if before and not self._clock_skew:
            log.info("clocks agree again")
        return self._clock_skew


def log_reconciled(summary: ReconcileSummary, *, unchanged: int) -> None:
    """Set the metrics and log the result of a reconcile: at INFO after a change, otherwise at DEBUG."""
    counts: Mapping[str, Any] = {
        "active": summary.active,
        "scheduled": summary.scheduled,
        "quarantined": len(summary.quarantined),
        "paused": summary.paused,
    }
    for state, count in counts.items():
        metrics.REGIONS.labels(state).set(count)
    extra = {**counts, "held": sum(summary.held.values()), "unchanged": unchanged}
    log.log(logging.INFO if summary.changed else logging.DEBUG, "reconciled", extra=extra)
