"""Runs one reconcile after the other, and turns each result into readiness, log lines, metrics and the next attempt.

The loop relies on a reconcile to raise ReconcileError or ApiUnavailableError for every problem outside of this process.
Every other error is a bug of the operator; the loop goes on after a bug too. Who calls `attempt` is left to `wiring`,
and when an attempt is due to `reconcile_timer`.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from region_operator.errors import ReconcileError
from region_operator.kube.api import ApiUnavailableError
from region_operator.kube.scheduler_presence import Presence
from region_operator.plan.conditions import ReadyReason
from region_operator.reconcile import RECONCILE_LIMIT_SECONDS
from region_operator.runtime import metrics
from region_operator.runtime.condition_metrics import CONDITIONS
from region_operator.runtime.health import NOT_RECONCILED
from region_operator.runtime.log_limiter import LogLimiter
from region_operator.scheduler import DEFAULT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from region_operator.kube.scheduler_presence import SchedulerPresence
    from region_operator.reconcile import Reconciler, ReconcileResult
    from region_operator.runtime.health import Health
    from region_operator.runtime.reconcile_timer import ReconcileTimer

log = logging.getLogger(__name__)

IDLE_INTERVAL = timedelta(minutes=5)
"""How long to wait between attempts after the RegionScheduler is gone, until its kopf timer ends."""

SUCCEEDED, UNFINISHED, API_UNAVAILABLE = "Succeeded", "Unfinished", "ApiUnavailable"
"""Labels of reconciles, beside those of ReconcileError."""

NONE_YET = f"there is no RegionScheduler {DEFAULT_NAME} yet, so nothing ticks: create it"


class ReconcileLoop:
    """Attempts reconciles. `gone` holds the uids of deleted RegionSchedulers: no reconcile follows for them.
    `on_full_look` is called after each completed reconcile that looked at everything.

    If no RegionScheduler is left, readiness, log and metrics say so. If there never was one, this process is ready.
    """

    def __init__(
        self, reconciler: Reconciler, timer: ReconcileTimer, health: Health, presence: SchedulerPresence
    ) -> None:
        self.reconciler = reconciler
        self.timer = timer
        self.health = health
        self.presence = presence
        self.gone: set[str] = set()
        self.on_full_look: Callable[[], None] = lambda: None
        self._looks = 0
        self._standing: set[str] = set()
        self._told_of_loss = False
        self._log_limiter = LogLimiter()
        for reason in (SUCCEEDED, UNFINISHED, API_UNAVAILABLE):
            metrics.RECONCILES.labels(reason)  # served as 0: the first failure counts as an increase

    async def begin(self) -> None:
        """Say what a missing RegionScheduler means, before the first attempt. Raises what `api.ERRORS` lists.

        Without a RegionScheduler there is no attempt that could say it. GitOps may wait for this process to be ready
        before it makes the first RegionScheduler.
        """
        match await self.presence.look():
            case Presence.GONE:
                self._tell_of_loss()
            case Presence.NEVER:
                self.health.mark_ready(NONE_YET)
                log.info("no scheduler yet", extra={"reason": NONE_YET})

    async def attempt(self, namespace: str, name: str, uid: str) -> None:
        """Reconcile once, and set when the next attempt is due. Raises only CancelledError."""
        self.expect_progress(uid, RECONCILE_LIMIT_SECONDS)
        started = time.monotonic()
        try:
            await self.presence.remember(uid)
            result = await self.reconciler.reconcile(namespace, name)
        except ReconcileError as error:
            reason = error.reason.value
            delay = self._fail(str(error), public=error.public)
        except ApiUnavailableError as error:
            reason = API_UNAVAILABLE
            delay = self._fail(f"the API server cannot be reached: {error}")
        except Exception as error:
            reason = "Error"
            delay = self._fail(f"an error of the operator itself, see its log: {error!r}", own_error=error)
        else:
            reason = _reason(result)
            delay = self._succeed(result)
        self.expect_progress(uid, delay)
        if not self._standing:
            self._tell_of_loss()
        metrics.RECONCILES.labels(reason).inc()
        metrics.RECONCILE_SECONDS.observe(time.monotonic() - started)

    def expect_progress(self, uid: str, seconds: float) -> None:
        """Let liveness depend on a reconcile that begins or ends within `seconds`. Ignore a deleted RegionScheduler."""
        if uid not in self.gone:
            if uid not in self._standing:
                if not self._standing:
                    self.health.mark_unready(NOT_RECONCILED)
                self._standing.add(uid)
                self._told_of_loss = False
            self.health.expect_progress(seconds)

    def hear_of_change(self) -> None:
        """Reconcile soon, because somebody else changed a CronJob. Until then the ledger must not judge."""
        self.reconciler.ledger.mark_stale()
        self.timer.wake()

    def forget(self, uid: str) -> None:
        """Expect no further reconcile of a RegionScheduler, because the RegionScheduler was deleted."""
        self.gone.add(uid)
        self._standing.discard(uid)
        self.reconciler.ledger.mark_stale()
        if not self._standing:
            self.health.expect_nothing()
            self._tell_of_loss()

    def _succeed(self, result: ReconcileResult | None) -> float:
        """Record a completed reconcile. Return in how many seconds the next reconcile begins at the latest."""
        if result is None:
            self._tell_of_loss()
            self.timer.schedule_after_success(IDLE_INTERVAL)
            return IDLE_INTERVAL.total_seconds()
        if result.taken:
            self.health.mark_unready(result.taken)
        else:
            self.health.mark_ready(self.reconciler.schema)
        if result.unfinished:
            delay = self.timer.schedule_after_unfinished()
            self._log("not finished", result.unfinished, delay, level=logging.INFO)
            return delay
        self.reconciler.hearing.finish()
        seconds = result.look_in.total_seconds()
        self.timer.schedule_after_success(result.look_in)
        if result.taken:
            self._log("source taken", result.taken, seconds, level=logging.WARNING)
            return seconds
        metrics.LAST_SUCCESS.set_to_current_time()
        if self._looks != (looks := self.reconciler.observer.looks):
            self._looks = looks
            self.on_full_look()
        if keys := self._log_limiter.record_success():
            log.info("reconciled again", extra=keys)
        return seconds

    def _tell_of_loss(self) -> None:
        """Say by readiness, metrics and log that there is no RegionScheduler."""
        self.health.mark_unready(self.presence.loss)
        metrics.show_nothing()
        self.reconciler.ledger.show_no_freshness()
        CONDITIONS.show(())
        if not self._told_of_loss:
            log.warning("scheduler gone", extra={"reason": self.presence.loss})
        self._told_of_loss = True

    def _fail(self, message: str, *, public: str = "", own_error: Exception | None = None) -> float:
        """Record a failed reconcile. Return in how many seconds the next reconcile begins at the latest.

        `public` is what /readyz says instead of the message.
        """
        delay = self.timer.schedule_after_failure()
        self.health.mark_unready(public or message)
        level = logging.ERROR if own_error else logging.WARNING
        self._log("not reconciled", message, delay, level=level, error=own_error)
        return delay

    def _log(self, event: str, reason: str, delay: float, *, level: int, error: Exception | None = None) -> None:
        if keys := self._log_limiter.record_failure(reason):
            extra = {"reason": reason, "retry_in_seconds": round(delay, 1)} | keys
            log.log(level, event, extra=extra, exc_info=error)


def _reason(result: ReconcileResult | None) -> str:
    """Return the label of a completed reconcile."""
    if result and result.unfinished:
        return UNFINISHED
    return ReadyReason.SOURCE_TAKEN.value if result and result.taken else SUCCEEDED
