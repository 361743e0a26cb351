"""Nudges the Jobs that wait for a free slot of the quota: first those of the region that started longest ago.

So regions take turns, however many of them share a minute. The older tick goes first only between regions of which no
start is known. A tick that comes too late to claim has no turn any more. Reruns come after all ticks, in their order:
a rerun can wait.

After the quota refuses a pod, the Job controller tries again after 1, 2, 4 ... 60 s. A free slot does not wake the
controller, so free slots stay empty for most of a busy minute. But the controller syncs a Job with a changed spec at
once (job_controller.go, updateJob: a Job with another change only after a second). So a nudge adds a second to the time
for which a waiting Job is kept after its end.

A nudge is an accelerator, never needed for correctness: the quota alone limits how many ticks run, and without a nudge
the controller's back-off ends anyway.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import time
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kubernetes.aio.client import ApiException
from kubernetes.utils.quantity import parse_quantity

from region_operator.cronjobs.labels import QUOTA_NAME
from region_operator.kube.api import ERRORS, MERGE, Api
from region_operator.kube.last_starts import LastStarts
from region_operator.kube.waiting_job import WaitingJob, began_at, cronjob_and_minute, waiting_job
from region_operator.runtime.log_limiter import LogLimiter
from region_operator.runtime.metrics import NUDGES, WAITING_TICKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from region_operator.cronjobs.job import Job
    from region_operator.cronjobs.manifest_parts import Manifest

log = logging.getLogger(__name__)

NUDGED_ANNOTATION = "region-tick.dev/nudged"
"""On a Job that waits for a slot: when the operator last changed the Job, so that its controller tries again."""
EFFECT_SECONDS = 1.0
"""How long a nudge may take to show. A Job that waits on is nudged again, after a longer rest each time."""
LONGEST_REST_SECONDS = 60.0


def free_slots(quota: Mapping[str, Any]) -> int:
    """Return how many more pods the ResourceQuota admits; 0 until the quota's controller has counted the pods."""
    status = quota.get("status", {})
    hard, used = status.get("hard", {}).get("pods"), status.get("used", {}).get("pods")
    return max(0, int(parse_quantity(hard) - parse_quantity(used))) if hard is not None and used is not None else 0


def nudge_patch(job: WaitingJob, now: float) -> Manifest:
    """Return the merge patch that nudges a Job at `now` (Unix time). A Job without a ttl gets none: it is kept."""
    patch: Manifest = {"metadata": {"uid": job.uid, "annotations": {NUDGED_ANNOTATION: f"{now:.3f}"}}}
    return patch if job.ttl is None else patch | {"spec": {"ttlSecondsAfterFinished": job.ttl + 1}}


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
    """Remembers the waiting Jobs, the free slots and the regions' last starts, as events report them, and nudges Jobs.

    `last_success` tells by a CronJob's name when a tick last succeeded, in the API server's form; "" if unknown. So a
    new leader knows whose turn it is, although it sees no Job that succeeded. `clock` returns seconds for intervals,
    `wall_clock` returns Unix time.
    """

    def __init__(
        self,
        *,
        last_success: Callable[[str], str] = lambda _: "",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._last_success = last_success
        self._clock = clock
        self._wall_clock = wall_clock
        self._waiting: dict[str, WaitingJob] = {}
        self._nudged: dict[str, LastNudge] = {}
        self._last_starts = LastStarts()
        self._free = 0
        self._changed = asyncio.Event()
        self._log_limiter = LogLimiter()

    def observe_job(self, job: Job) -> None:
        """Remember whether a Job of ours waits, and when its region last started, by the Job as it now is."""
        name, now = job.name, self._wall_clock()
        before, waiting = self._waiting.get(name), waiting_job(job, now=now)
        start = now if before and job.has_pod else began_at(job)
        if start and not (before and before.until < start):  # a pod that cannot claim is no start
            self._remember_start(name, start)
        if waiting is None:
            self._forget(name)
        elif before and (before.uid, before.failed_pods) == (waiting.uid, waiting.failed_pods):
            self._waiting[name] = replace(waiting, not_before=before.not_before)
        else:
            self._waiting[name] = waiting
        self._changed.set()

    def _remember_start(self, job_name: str, start: float) -> None:
        cronjob, minute = cronjob_and_minute(job_name)
        if minute is not None:
            self._last_starts.remember(cronjob, start)

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
        """Return the Jobs to nudge now: at most as many as there are free slots that no earlier nudge is about to fill.

        Left out are Jobs that are too late to claim, and Jobs whose controller still backs off from a failed pod.
        """
        now, wall_time = self._clock(), self._wall_clock()
        room = self._free - sum(last.is_pending(now) for last in self._nudged.values())
        if room <= 0:
            return []
        resting = {name for name, last in self._nudged.items() if last.is_resting(now)}
        ready = (
            job
            for name, job in self._waiting.items()
            if job.not_before <= wall_time <= job.until and name not in resting
        )
        return heapq.nsmallest(room, ready, key=self._turn)

    def _turn(self, job: WaitingJob) -> tuple[float, int, str]:
        """Return the sort key by which waiting Jobs take turns."""
        if job.rerun:
            return math.inf, job.minute, job.name
        start = self._last_starts.of(job.cronjob)
        if not start and (success := self._last_success(job.cronjob)):
            start = datetime.fromisoformat(success).timestamp()
            self._last_starts.remember(job.cronjob, start)
        return start, job.minute, job.name

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
        try:
            await api.request("PATCH", path, body=nudge_patch(job, self._wall_clock()), content_type=MERGE)
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
