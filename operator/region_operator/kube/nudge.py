"""Nudges the Jobs that wait for a free slot of the quota, oldest tick first.

After the quota refuses a pod, the Job controller tries again after 1, 2, 4 ... 60 s. A free slot does not wake the
controller, so free slots stay empty for most of a busy minute. But the controller syncs a changed Job at once. So a
nudge changes a waiting Job, by an annotation without a meaning.

A nudge is an accelerator, never needed for correctness: the quota alone limits how many ticks run, and without a nudge
the controller's back-off ends anyway.
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
"""On a Job that waits for a slot: when the operator last changed the Job, so that its controller tries again."""
EFFECT_SECONDS = 1.0
"""How long a nudge may take to show. A Job that waits on is nudged again, after a longer rest each time."""
LONGEST_REST_SECONDS = 60.0


@dataclass(frozen=True, slots=True, order=True)
class WaitingJob:
    """A Job whose next pod the quota refused. The sort order is the order of the nudges."""

    retries: bool
    """Whether the Job had a pod before. Such a Job may only be backing off from the pod's failure, so comes last."""
    minute: int
    """The tick's scheduled minute, in minutes since 1970."""
    name: str
    uid: str
    until: float
    """Up to when the first pod can still claim the tick, in Unix time. A later pod would take a slot for nothing."""


def waiting_job(job: Mapping[str, Any]) -> WaitingJob | None:
    """Return the waiting Job; None if the Job does not wait, or if the Job controller has not synced the Job yet.

    The first sync sets startTime, in the same write as the number of created pods (job_controller.go, syncJob).
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
    """Return how many seconds after the scheduled minute a Job's first pod may start, by the pod's environment."""
    [container, *_] = job["spec"]["template"]["spec"]["containers"]
    variables = {item["name"]: item.get("value", "") for item in container.get("env", [])}
    seconds = variables.get(Variable.START_DEADLINE_SECONDS, "")
    return float(seconds) if seconds.isdecimal() else math.inf


def free_slots(quota: Mapping[str, Any]) -> int:
    """Return how many more pods the ResourceQuota admits; 0 until the quota's controller has counted the pods."""
    status = quota.get("status", {})
    hard, used = status.get("hard", {}).get("pods"), status.get("used", {}).get("pods")
    return max(0, int(parse_quantity(hard) - parse_quantity(used))) if hard is not None and used is not None else 0


@dataclass(frozen=True, slots=True)
class LastNudge:
    """When a Job was last nudged, in seconds of the Nudger's clock, and how often since a slot last became free."""

    at: float
    times: int

    def is_pending(self, now: float) -> bool:
        """Whether the nudged Job may be about to take a slot."""
        return now - self.at < EFFECT_SECONDS

    def is_resting(self, now: float) -> bool:
        """Whether the next nudge comes too early. A Job that nudges do not help waits for something besides a slot."""
        return now - self.at < min(EFFECT_SECONDS * 2.0 ** min(self.times - 1, 10), LONGEST_REST_SECONDS)


class Nudger:
    """Remembers the waiting Jobs and the free slots, as events report both, and nudges Jobs.

    `clock` returns seconds for intervals, `wall_clock` returns Unix time.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._waiting: dict[str, WaitingJob] = {}
        self._nudged: dict[str, LastNudge] = {}
        self._free = 0
        self._changed = asyncio.Event()
        self._log_limiter = LogLimiter()

    def observe_job(self, job: Mapping[str, Any], *, deleted: bool) -> None:
        """Remember whether a Job of ours waits, by an event."""
        waiting = None if deleted else waiting_job(job)
        if waiting:
            self._waiting[waiting.name] = waiting
        else:
            self._forget(job["metadata"]["name"])
        self._changed.set()

    def observe_quota(self, quota: Mapping[str, Any], *, deleted: bool) -> None:
        """Remember the quota's free slots, by an event of any ResourceQuota. A new free slot ends long rests."""
        if quota["metadata"]["name"] != QUOTA_NAME:
            return
        before, self._free = self._free, 0 if deleted else free_slots(quota)
        if self._free > before:
            self._nudged = {name: LastNudge(last.at, 1) for name, last in self._nudged.items()}
        self._changed.set()

    @property
    def waiting(self) -> int:
        """How many Jobs wait, as far as events have told."""
        return len(self._waiting)

    def choose_jobs(self) -> list[WaitingJob]:
        """Forget the Jobs that are too late to claim; return the Jobs to nudge now.

        The number of Jobs is at most the number of free slots that no earlier nudge is about to fill.
        """
        now, wall_time = self._clock(), self._wall_clock()
        for name in [name for name, job in self._waiting.items() if job.until < wall_time]:
            self._forget(name)
        room = self._free - sum(last.is_pending(now) for last in self._nudged.values())
        if room <= 0:
            return []
        resting = {name for name, last in self._nudged.items() if last.is_resting(now)}
        return heapq.nsmallest(room, (job for name, job in self._waiting.items() if name not in resting))

    def remember_nudges(self, chosen: Iterable[WaitingJob]) -> None:
        """Remember which Jobs were given a slot. Each Job takes a moment to make a pod."""
        now = self._clock()
        for job in chosen:
            before = self._nudged.get(job.name)
            self._nudged[job.name] = LastNudge(now, before.times + 1 if before else 1)

    async def run(self, api: Api, namespace: str) -> None:
        """Nudge after each event, and every second while a Job waits beside a free slot. Run until cancelled."""
        while True:
            chosen = self.choose_jobs()
            self.remember_nudges(chosen)
            await asyncio.gather(*(self._nudge(api, namespace, job) for job in chosen))
            WAITING_TICKS.set(self.waiting)
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        timeout = EFFECT_SECONDS if self._waiting and self._free else None
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _nudge(self, api: Api, namespace: str, job: WaitingJob) -> None:
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{job.name}"
        annotations = {NUDGED_ANNOTATION: f"{self._wall_clock():.3f}"}
        body = {"metadata": {"uid": job.uid, "annotations": annotations}}
        try:
            await api.request("PATCH", path, body=body, content_type=MERGE)
        except ERRORS as error:
            if isinstance(error, ApiException) and error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                self._forget(job.name)  # the Job is gone, although no event has said so yet
            elif keys := self._log_limiter.record_failure(str(error)):
                log.warning("not nudged", extra={"job": job.name, "error": str(error), **keys})
            return
        self._log_limiter.record_success()
        NUDGES.inc()

    def _forget(self, name: str) -> None:
        self._waiting.pop(name, None)
        self._nudged.pop(name, None)
