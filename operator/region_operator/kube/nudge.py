"""Hurrying the ticks that wait for a slot, oldest first.

Where the quota refuses a pod, the Job controller tries again after 1, 2, 4 ... 60 s and nobody wakes it when a slot is
free, so a full cap stands empty for most of a busy minute. It does sync a Job at once that changes: so a Job that waits
is changed, by an annotation that means nothing. That is all. Nothing rests on it: the quota alone says how many ticks
run, and without a nudge the back-off still comes to its end.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kubernetes.aio.client import ApiException
from kubernetes.utils.quantity import parse_quantity

from region_operator.cronjobs.labels import QUOTA_NAME
from region_operator.kube.api import ERRORS, MERGE, Api
from region_operator.runtime.log_limiter import LogLimiter
from region_operator.runtime.metrics import NUDGES, WAITING_TICKS
from region_tick.contract import LATENESS_TOLERANCE_SECONDS, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

log = logging.getLogger(__name__)

NUDGED_ANNOTATION = "region-tick.dev/nudged"
EFFECT_SECONDS = 1.0
"""How long a nudge may take to show; then the Job, if it still waits, is nudged again, and later each time."""
LONGEST_REST_SECONDS = 60.0


@dataclass(frozen=True, slots=True, order=True)
class WaitingJob:
    """A Job whose next pod the quota refused. They are served in this order."""

    retries: bool
    """Whether it had a pod before: it may as well be backing off from that one's failure, so the others go first."""
    minute: int
    """Of its tick, since 1970."""
    name: str
    uid: str
    until: float
    """Up to when its first pod can still claim the tick, in Unix time: later, it would take a slot to find that out."""


def waiting_job(job: Mapping[str, Any]) -> WaitingJob | None:
    """Return how a Job waits; None where it does not, or was not looked at by its controller yet.

    The controller sets startTime when it first syncs a Job, in the same write as the number of pods that it could
    create (job_controller.go, syncJob).
    """
    meta, status = job["metadata"], job.get("status", {})
    minute = meta["name"].rpartition("-")[2]
    over = any(condition["status"] == "True" for condition in status.get("conditions", []))
    if over or "deletionTimestamp" in meta or "startTime" not in status or not minute.isdecimal():
        return None
    if status.get("active") or status.get("terminating"):
        return None
    retries = bool(status.get("failed"))
    until = math.inf if retries else int(minute) * 60 + _start_deadline(job) + LATENESS_TOLERANCE_SECONDS
    return WaitingJob(retries, int(minute), meta["name"], meta["uid"], until)


def _start_deadline(job: Mapping[str, Any]) -> float:
    """Return how many seconds after its minute a Job's first pod may start, as that pod will be told."""
    [container, *_] = job["spec"]["template"]["spec"]["containers"]
    told = {item["name"]: item.get("value", "") for item in container.get("env", [])}
    seconds = told.get(Variable.START_DEADLINE_SECONDS, "")
    return float(seconds) if seconds.isdecimal() else math.inf


def free_slots(quota: Mapping[str, Any]) -> int:
    """Return how many pods the ResourceQuota still admits; 0 as long as its controller has not counted them."""
    status = quota.get("status", {})
    hard, used = status.get("hard", {}).get("pods"), status.get("used", {}).get("pods")
    return max(0, int(parse_quantity(hard) - parse_quantity(used))) if hard is not None and used is not None else 0


@dataclass(frozen=True, slots=True)
class LastNudge:
    """When a Job was last nudged, and how often since the quota last changed."""

    at: float
    times: int

    def is_pending(self, now: float) -> bool:
        """Whether it may be about to take a slot."""
        return now - self.at < EFFECT_SECONDS

    def rests(self, now: float) -> bool:
        """Whether it is too early for another: what nudges do not help waits for something else than a slot."""
        return now - self.at < min(EFFECT_SECONDS * 2.0 ** min(self.times - 1, 10), LONGEST_REST_SECONDS)


class Nudger:
    """What the events of Jobs and of the quota say, and the nudges that follow from it."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._waiting: dict[str, WaitingJob] = {}
        self._nudged: dict[str, LastNudge] = {}
        self._free = 0
        self._changed = asyncio.Event()
        self._refusals = LogLimiter()

    def observe_job(self, job: Mapping[str, Any], *, deleted: bool) -> None:
        """Note what an event says of a Job of ours."""
        waits = None if deleted else waiting_job(job)
        if waits:
            self._waiting[waits.name] = waits
        else:
            self._forget(job["metadata"]["name"])
        self._changed.set()

    def observe_quota(self, quota: Mapping[str, Any], *, deleted: bool) -> None:
        """Note what an event says of a ResourceQuota."""
        if quota["metadata"]["name"] != QUOTA_NAME:
            return
        before, self._free = self._free, 0 if deleted else free_slots(quota)
        if self._free > before:
            self._nudged = {name: LastNudge(last.at, 1) for name, last in self._nudged.items()}
        self._changed.set()

    @property
    def waiting(self) -> int:
        """How many Jobs wait, as far as is known."""
        return len(self._waiting)

    def due(self) -> list[WaitingJob]:
        """Return whom to nudge now: as many as there are free slots that no nudge is about to fill."""
        now, wall_time = self._clock(), self._wall_clock()
        for name in [name for name, waits in self._waiting.items() if waits.until < wall_time]:
            self._forget(name)
        room = self._free - sum(last.is_pending(now) for last in self._nudged.values())
        if room <= 0:
            return []
        resting = {name for name, last in self._nudged.items() if last.rests(now)}
        return heapq.nsmallest(room, (waits for name, waits in self._waiting.items() if name not in resting))

    def nudged(self, chosen: Iterable[WaitingJob]) -> None:
        """Note whom a slot was given to; it takes them a moment to show."""
        now = self._clock()
        for waits in chosen:
            before = self._nudged.get(waits.name)
            self._nudged[waits.name] = LastNudge(now, before.times + 1 if before else 1)

    async def run(self, api: Api, namespace: str) -> None:
        """Nudge whenever something changed, and every second while a Job waits beside a free slot; until cancelled."""
        while True:
            chosen = self.due()
            self.nudged(chosen)
            await asyncio.gather(*(self._nudge(api, namespace, waits) for waits in chosen))
            WAITING_TICKS.set(self.waiting)
            await self._change()

    async def _change(self) -> None:
        timeout = EFFECT_SECONDS if self._waiting and self._free else None
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _nudge(self, api: Api, namespace: str, waits: WaitingJob) -> None:
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{waits.name}"
        annotations = {NUDGED_ANNOTATION: f"{self._wall_clock():.3f}"}
        body = {"metadata": {"uid": waits.uid, "annotations": annotations}}
        try:
            await api.request("PATCH", path, body=body, content_type=MERGE)
        except ERRORS as error:
            if isinstance(error, ApiException) and error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                self._forget(waits.name)  # gone, without an event that said so
            elif keys := self._refusals.note_failure(str(error)):
                log.warning("not nudged", extra={"job": waits.name, "error": str(error), **keys})
            return
        self._refusals.note_success()
        NUDGES.inc()

    def _forget(self, name: str) -> None:
        self._waiting.pop(name, None)
        self._nudged.pop(name, None)
