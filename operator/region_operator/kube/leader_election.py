"""Elects one leader: of the operator processes of a namespace, only the holder of the namespace's Lease writes.

The election relies on two things. Of two PUTs with the same resourceVersion, the API server accepts only one. And the
clocks of two machines run about equally fast; two clocks may show different times.

A process that loses the Lease ends at once, so no code has to handle a state "was leading". `api.Api` calls
`LeaderElection.time_left` before each request, and gives no request more time. What a look at the Lease means is left
to `lease_record`. The reasons for the seconds below, and the alternatives, stand in
docs/decisions/0003-one-leader-by-a-lease.md.
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
from region_operator.kube.api_errors import describe_cause
from region_operator.kube.lease_record import (
    LEASE_SECONDS,
    LeaseRecord,
    Step,
    decide,
    held,
    lease_path,
    leases_path,
    released,
)
from region_operator.runtime import metrics
from region_operator.runtime.health import NOT_RECONCILED
from region_operator.scheduler import DEFAULT_NAME, INITIAL_STATUS, scheduler_path

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


SILENCE_LIMIT_SECONDS = 60.0
"""How long the Lease is renewed for a main event loop that does not turn. Another process may do better."""


class NotLeadingError(Exception):
    """Another process leads."""


def new_identity() -> str:
    """Return a name for this process: the pod's name, and a random part that differs after a container's restart."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


def boottime() -> float:
    """Return seconds that go on while the process is stopped or the machine sleeps (see clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def end_process(reason: str) -> NoReturn:
    """End the process at once. An orderly end takes seconds, and by then another process may lead."""
    log.error("leadership lost", extra={"reason": reason})
    os._exit(os.EX_TEMPFAIL)


class LeaderElection:
    """This process's part in the election of a namespace.

    `api` must serve the election alone, because a renewal must not queue behind writes. `silence` returns for how many
    seconds the main event loop has not turned. `clock` returns seconds, `end` ends the process.
    """

    def __init__(
        self,
        api: Api,
        health: Health,
        *,
        namespace: str,
        identity: str,
        silence: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = boottime,
        uniform: Callable[[float, float], float] = random.uniform,
        end: Callable[[str], NoReturn] = end_process,
    ) -> None:
        self._api, self._health = api, health
        self._leases, self._path = leases_path(namespace), lease_path(namespace)
        self._scheduler = scheduler_path(namespace, DEFAULT_NAME)
        self.identity = identity
        self._silence, self._clock, self._uniform, self._end = silence, clock, uniform, end
        self._lease: dict[str, Any] | None = None
        self._record: LeaseRecord | None = None
        self._observed_since = self._valid_until = -math.inf

    def time_left(self) -> float:
        """Return for how many seconds, more than 0, a request may be under way. End the process if no time is left."""
        left = self._valid_until - self._clock()
        if left <= 0:
            self._end(f"the Lease was not renewed for {RENEW_DEADLINE_SECONDS:.0f} s")
        return left

    @asynccontextmanager
    async def leading(self, *, patient: bool = True) -> AsyncIterator[None]:
        """Wait until this process leads. Renew the Lease while the block runs, and release the Lease afterwards.

        A patient process waits for ever. An impatient process waits only for a Lease that nobody renews, and raises
        NotLeadingError if somebody renews the Lease, and ApiUnavailableError if the Lease cannot be read or written.
        """
        await self._acquire(patient=patient)
        log.info("leading", extra={"identity": self.identity})
        metrics.LEADER.set(1)
        self._health.mark_unready(NOT_RECONCILED)
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            await self._release()

    async def _acquire(self, *, patient: bool) -> None:
        logged_reason = None
        first: LeaseRecord | None = None
        while True:
            try:
                if await self._attempt(ATTEMPT_SECONDS) is not Step.WAIT:
                    return
                first = first or self._record
                if not patient and self._holder and self._record != first:
                    raise NotLeadingError(self._situation)
                self._health.mark_standby()
                level, event, reason = logging.INFO, "standby", self._situation
            except (*ERRORS, TimeoutError) as error:
                level, event, reason = (
                    logging.WARNING,
                    "no standby",
                    f"the Lease cannot be had: {describe_cause(error)}",
                )
                if not patient:
                    raise ApiUnavailableError(reason) from error
                self._health.mark_unready(reason)
            if reason != logged_reason:
                log.log(level, event, extra={"reason": reason})
            logged_reason = reason
            await asyncio.sleep(self._uniform(*POLL_SECONDS))

    async def _renew(self) -> None:
        pause = RENEW_SECONDS
        while True:
            await asyncio.sleep(min(pause, self.time_left()))
            if (silence := self._silence()) > SILENCE_LIMIT_SECONDS:
                self._end(f"the main event loop has not turned for {silence:.0f} s")
            limit = min(ATTEMPT_SECONDS, self.time_left())
            try:
                step = await self._attempt(limit)
            except Exception as error:  # any error may pass; if an error lasts, time_left ends the process
                log.warning("lease not renewed", extra={"error": describe_cause(error)})
                pause = self._uniform(*RETRY_SECONDS)
            else:
                if step is Step.WAIT:
                    self._end(f"the Lease is {self._holder or 'nobody'}'s")
                pause = RENEW_SECONDS

    async def _attempt(self, limit: float) -> Step:
        """Look at the Lease; take or renew the Lease unless the step is WAIT. Return the step.

        Raises what `api.ERRORS` lists, and TimeoutError after `limit` seconds. After a TimeoutError the next look shows
        whether the Lease was taken.
        """
        async with asyncio.timeout(limit):
            began = self._clock()
            self._observe(await self._api.get(self._path))
            if self._observed_since == -math.inf and await self._somebody_led():
                self._observed_since = self._clock()
            step = decide(self._record, identity=self.identity, observed_since=self._observed_since, now=self._clock())
            if step is Step.WAIT:
                return step
            try:
                await self._write(held(self._lease, identity=self.identity, now=datetime.now(UTC)))
            except ApiException as error:
                if error.status == 409 and step is not Step.RENEW:
                    return Step.WAIT  # another process was faster
                raise
            self._valid_until = began + RENEW_DEADLINE_SECONDS
            return step

    async def _somebody_led(self) -> bool:
        """Whether there may be a leader although this process never saw a Lease.

        Every reconcile, also a failed reconcile, writes the RegionScheduler's status. In a new namespace the status is
        empty, so nobody has led, and the first leader need not wait.
        """
        scheduler = await self._api.get(self._scheduler) or {}
        return bool(scheduler.get("status", INITIAL_STATUS) != INITIAL_STATUS)

    async def _release(self) -> None:
        """Give the Lease back, so that the next leader leads at once. If that fails, the next leader waits for
        LEASE_SECONDS, as after a crash.
        """
        self._valid_until = -math.inf
        metrics.LEADER.set(0)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                lease = await self._api.get(self._path)
                if lease and LeaseRecord.from_object(lease).holder == self.identity:
                    await self._write(released(lease, now=datetime.now(UTC)))
        except (*ERRORS, TimeoutError) as error:
            log.warning("lease not released", extra={"error": describe_cause(error)})

    async def _write(self, lease: dict[str, Any]) -> None:
        """Update the Lease, or create the Lease if none was seen.

        Raises ApiException 409 if the Lease has changed since the look, or exists by now.
        """
        if "resourceVersion" in lease["metadata"]:
            self._observe(await self._api.request("PUT", self._path, body=lease))
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
