"""One leader: of the processes that could write in a namespace, one does, the one that holds its Lease.

Believes that the API server lets one of two PUTs with the same resourceVersion through, and that the clocks of two
machines run about equally fast; that they show the same time it does not believe.

A process that led and no longer may ends at once, so there is no state "was leading" that anybody would have to handle.
Whoever writes asks `Leader.time_left` before each request (`api.Api` does) and lets none last longer. How the seconds
below were chosen, and what else was tried: docs/decisions/0003-one-leader-by-a-lease.md.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import secrets
import socket
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from kubernetes.aio.client import ApiException

from region_operator.kube.api import ERRORS, ApiUnavailableError
from region_operator.kube.api_errors import describe
from region_operator.kube.lease import API_VERSION, LEASE_SECONDS, NAME, LeaseRecord, Step, decide, held, released
from region_operator.runtime import metrics
from region_operator.runtime.health import NOT_RECONCILED
from region_operator.scheduler import DEFAULT_NAME, UNOBSERVED, scheduler_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from region_operator.kube.api import Api
    from region_operator.runtime.health import Health

log = logging.getLogger(__name__)

RENEW_SECONDS = 5.0
RENEW_DEADLINE_SECONDS = 10.0
ATTEMPT_SECONDS = 3.0
RETRY_SECONDS = (0.5, 1.0)
POLL_SECONDS = (1.0, 2.0)


class NotLeadingError(Exception):
    """Another process leads."""


def new_identity() -> str:
    """Return a name for this process: its pod's, and something that a restarted container has anew."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


def boottime() -> float:
    """Return seconds that pass also while this process is stopped and while the machine sleeps (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def end_process(reason: str) -> NoReturn:
    """End now: in the seconds that an orderly end takes, another may lead already."""
    log.error("leadership lost", extra={"reason": reason})
    os._exit(os.EX_TEMPFAIL)


class LeaderElection:
    """This process's part in a namespace's Lease, over an Api of its own: renewals must not queue behind writes."""

    def __init__(
        self,
        api: Api,
        health: Health,
        *,
        namespace: str,
        identity: str,
        clock: Callable[[], float] = boottime,
        uniform: Callable[[float, float], float] = random.uniform,
        end: Callable[[str], NoReturn] = end_process,
    ) -> None:
        self._api, self._health = api, health
        self._leases = f"/apis/{API_VERSION}/namespaces/{namespace}/leases"
        self._scheduler = scheduler_path(namespace, DEFAULT_NAME)
        self.identity = identity
        self._clock, self._uniform, self._end = clock, uniform, end
        self._lease: dict[str, Any] | None = None
        self._record: LeaseRecord | None = None
        self._observed_since = self._valid_until = -math.inf

    def time_left(self) -> float:
        """Return for how many seconds, more than 0, a request may be under way. Ends the process when they are over."""
        left = self._valid_until - self._clock()
        if left <= 0:
            self._end(f"the Lease was not renewed for {RENEW_DEADLINE_SECONDS:.0f} s")
        return left

    @asynccontextmanager
    async def leading(self, *, patient: bool = True) -> AsyncIterator[None]:
        """Wait, for ever if need be, until this process leads; renew while the block runs; release after it.

        One who is not patient waits only for a Lease that nobody renews. Raises NotLeadingError where somebody does,
        and ApiUnavailableError.
        """
        await self._acquire(patient=patient)
        log.info("leading", extra={"identity": self.identity})
        metrics.LEADER.set(1)
        self._health.unready(NOT_RECONCILED)
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            await self._release()

    async def _acquire(self, *, patient: bool) -> None:
        said = None
        first: LeaseRecord | None = None
        while True:
            try:
                if await self._attempt(ATTEMPT_SECONDS) is not Step.WAIT:
                    return
                first = first or self._record
                if not patient and self._holder and self._record != first:
                    raise NotLeadingError(self._situation)
                self._health.standby()
                level, event, why = logging.INFO, "standby", self._situation
            except (*ERRORS, TimeoutError) as error:
                level, event, why = logging.WARNING, "no standby", f"the Lease cannot be had: {_explain(error)}"
                if not patient:
                    raise ApiUnavailableError(why) from error
                self._health.unready(why)
            if why != said:
                log.log(level, event, extra={"reason": why})
            said = why
            await asyncio.sleep(self._uniform(*POLL_SECONDS))

    async def _renew(self) -> None:
        pause = RENEW_SECONDS
        while True:
            await asyncio.sleep(min(pause, self.time_left()))
            limit = min(ATTEMPT_SECONDS, self.time_left())
            try:
                step = await self._attempt(limit)
            except Exception as error:  # whatever it is: if it lasts, time_left ends the process
                log.warning("lease not renewed", extra={"error": _explain(error)})
                pause = self._uniform(*RETRY_SECONDS)
            else:
                if step is Step.WAIT:
                    self._end(f"the Lease is {self._holder or 'nobody'}'s")
                pause = RENEW_SECONDS

    async def _attempt(self, limit: float) -> Step:
        """Look at the Lease and, unless it is to WAIT, make it ours. Raises api.ERRORS, and TimeoutError after `limit`
        seconds; whether it was made ours then shows at the next look.
        """
        async with asyncio.timeout(limit):
            asked = self._clock()
            self._observe(await self._api.get(f"{self._leases}/{NAME}"))
            if self._observed_since == -math.inf and await self._somebody_led():
                self._observed_since = self._clock()
            step = decide(self._record, identity=self.identity, observed_since=self._observed_since, now=self._clock())
            if step is Step.WAIT:
                return step
            try:
                await self._write(held(self._lease, identity=self.identity, now=datetime.now(UTC)))
            except ApiException as error:
                if error.status == 409 and step is not Step.RENEW:
                    return Step.WAIT  # another was faster
                raise
            self._valid_until = asked + RENEW_DEADLINE_SECONDS
            return step

    async def _somebody_led(self) -> bool:
        """Whether there may be a leader although no Lease was ever seen: each reconcile writes a status, a failed one
        too. Nobody needs to be waited for in a new namespace.
        """
        scheduler = await self._api.get(self._scheduler) or {}
        return bool(scheduler.get("status", UNOBSERVED) != UNOBSERVED)

    async def _release(self) -> None:
        """Let the next one lead at once. Where that fails, it waits the Lease's duration, as after a crash."""
        self._valid_until = -math.inf
        metrics.LEADER.set(0)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                lease = await self._api.get(f"{self._leases}/{NAME}")
                if lease and LeaseRecord.from_object(lease).holder == self.identity:
                    await self._write(released(lease, now=datetime.now(UTC)))
        except (*ERRORS, TimeoutError) as error:
            log.warning("lease not released", extra={"error": _explain(error)})

    async def _write(self, lease: dict[str, Any]) -> None:
        """Write the Lease over exactly the one that was seen, or where none was. Raises ApiException 409 otherwise."""
        if "resourceVersion" in lease["metadata"]:
            self._observe(await self._api.request("PUT", f"{self._leases}/{NAME}", body=lease))
        else:
            self._observe(await self._api.request("POST", self._leases, body=lease))

    def _observe(self, lease: dict[str, Any] | None) -> None:
        record = LeaseRecord.from_object(lease) if lease else None
        if record != self._record:
            self._observed_since = self._clock()
        self._lease, self._record = lease, record

    @property
    def _holder(self) -> str:
        return self._record.holder if self._record else ""

    @property
    def _situation(self) -> str:
        return f"{self._holder} leads" if self._holder else f"nobody leads, which has to last for {LEASE_SECONDS} s"


def _explain(error: Exception) -> str:
    refusal = _refusal(error)
    if refusal:
        return describe(refusal)
    return "the API server does not answer" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"


def _refusal(error: BaseException | None) -> ApiException | None:
    """Return what the API server refused with, also where the time was over while its retry was waited for."""
    while error:
        if isinstance(error, ApiException):
            return error
        error = error.__cause__ or error.__context__
    return None
