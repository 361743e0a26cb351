"""Runs a backfill: makes the Jobs of reruns, a few at a time, and waits until all are done.

All that a backfill knows stands in the cluster and in the ledger. So it may be interrupted at any time: the Jobs go on
by themselves, and the same command finds them by their names, counts them as running, and does the rest. What became of
a tick is what the ledger says, and not the Job.
"""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kubectl_region.backfill_plan import Outcome, Rerun, free_places, next_reruns, tally, with_free_name
from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.kubectl import KubectlError
from kubectl_region.moments import format_time
from kubectl_region.output import printable, warn
from kubectl_region.rerun_job import Seen, make_job, read_job
from region_tick.contract import TICK_AT_LABEL, State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from kubectl_region.console import Console
    from kubectl_region.kubectl import Kubectl

T = TypeVar("T")

POLL_SECONDS = 1.0
MOST_FAILURES = 10
"""After so many failures of the cluster or the console in a row a backfill gives up: some three minutes."""
LONGEST_PAUSE_SECONDS = 30.0
_PASSING = ("", "InternalError", "ServiceUnavailable", "Timeout", "ServerTimeout", "TooManyRequests")
TELL_SECONDS = 5.0
"""How often the progress is printed at most, except for its last line."""


class Backfill:
    """Runs ticks of one namespace again, at most `limit` at once, and no more than `concurrency` with those of others.

    `by` says who wants it.
    """

    def __init__(
        self, kubectl: Kubectl, console: Console, namespace: str, *, limit: int, concurrency: int, by: str
    ) -> None:
        self._kubectl, self._console, self._by = kubectl, console, by
        self._limit, self._concurrency = limit, concurrency
        self._here = ("--namespace", namespace)
        self._uids: dict[str, str] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._running: dict[str, Rerun] = {}
        self._told, self._tell_at = "", 0.0

    def run(self, plan: Sequence[Rerun]) -> bool:
        """Run the ticks of `plan` again, and wait for them and for the adopted ones.

        Return whether all of them succeeded. Raises PluginError. A KeyboardInterrupt leaves the Jobs as they are.
        """
        at_work = {rerun.tick for rerun in self._running.values()}
        waiting = [rerun for rerun in plan if rerun.tick not in at_work]
        total = len(waiting) + len(self._running)
        while waiting or self._running:
            _patiently(lambda: self._step(waiting))
            self._tell(total, last=not waiting and not self._running)
            if waiting or self._running:
                time.sleep(POLL_SECONDS)
        return all(outcome is Outcome.SUCCEEDED for outcome in self._outcomes.values())

    def _step(self, waiting: list[Rerun]) -> None:
        """Note which reruns have ended, and begin the next ones. Raises PluginError; then the same step can go on."""
        jobs = self._jobs()
        self._settle(jobs)
        ended = {name for name, job in jobs.items() if not job.active}
        waiting[:] = [with_free_name(rerun, ended) for rerun in waiting]
        for rerun in [rerun for rerun in waiting if rerun.job in jobs]:
            self._note_start(rerun, waiting)
        active = [job for job in jobs.values() if job.active]
        busy = {job.cronjob for job in active} | {rerun.cronjob for rerun in self._running.values()}
        free = free_places(self._limit, self._concurrency, ours=len(self._running), all_reruns=len(active))
        for rerun in next_reruns(waiting, busy=busy, free=free):
            if why := self._start(rerun):
                self._give_up(rerun, why, waiting)
            else:
                self._note_start(rerun, waiting)

    def _note_start(self, rerun: Rerun, waiting: list[Rerun]) -> None:
        self._running[rerun.job] = rerun
        waiting.remove(rerun)

    def adopt(self, codes: Collection[str], tick_at: datetime | None = None) -> int:
        """Take over the reruns of `codes` that are under way, as an earlier backfill left them; return how many.

        With `tick_at`: only those of that tick. Raises PluginError.
        """
        for name, job in _patiently(self._jobs).items():
            if job.active and job.code in codes and tick_at in (None, job.tick_at):
                self._running[name] = Rerun(code=job.code, cronjob=job.cronjob, tick_at=job.tick_at)
        return len(self._running)

    def _jobs(self) -> dict[str, Seen]:
        """Return the Jobs of reruns in the namespace that have no success, whoever made them.

        A long backfill would read more and more successes each second; of those, the ledger tells.
        """
        which = ("--selector", TICK_AT_LABEL, "--field-selector", "status.successful=0")
        items = self._kubectl.json("get", "jobs", *which, *self._here)["items"]
        return {item["metadata"]["name"]: read_job(item) for item in items}

    def _settle(self, jobs: dict[str, Seen]) -> None:
        """Note what became of the reruns whose Jobs have ended or are gone."""
        for name in [name for name in self._running if name not in jobs or not jobs[name].active]:
            rerun = self._running[name]
            tick = self._tick(rerun)
            del self._running[name]
            succeeded = tick.get("state") == State.SUCCEEDED
            self._outcomes[name] = Outcome.SUCCEEDED if succeeded else Outcome.FAILED
            if not succeeded:
                words = (tick.get("state"), tick.get("reason"), tick.get("errorMessage"))
                job = jobs[name].why if name in jobs else "it is gone, or has succeeded"
                said = ", ".join(filter(None, (*words, f"Job {name}: {job}" if job else "")))
                warn(printable(f"{rerun.code} {format_time(rerun.tick_at)} did not succeed: {said}"))

    def _tick(self, rerun: Rerun) -> dict[str, Any]:
        try:
            return self._console.get("regions", rerun.code, "ticks", format_time(rerun.tick_at))
        except NotFoundError:
            return {}

    def _start(self, rerun: Rerun) -> str:
        """Make the Job of a rerun, from the CronJob as it is now. Return why none can be made; "" if one is there."""
        try:
            cronjob = self._kubectl.json("get", "cronjob", rerun.cronjob, *self._here)
        except KubectlError as error:
            if error.reason != "NotFound":
                raise
            return f"CronJob {rerun.cronjob} is gone"
        uid = cronjob["metadata"]["uid"]
        if self._uids.setdefault(rerun.cronjob, uid) != uid:
            return f"CronJob {rerun.cronjob} was deleted meanwhile, and made anew"
        job = json.dumps(make_job(cronjob, rerun, by=self._by))
        try:
            self._kubectl("create", "--filename", "-", *self._here, stdin=job)
        except KubectlError as error:
            if error.reason != "AlreadyExists":  # somebody begins the same backfill at this moment
                raise
        return ""

    def _give_up(self, rerun: Rerun, why: str, waiting: list[Rerun]) -> None:
        """Note that a rerun, and all later ones of its region, cannot be run."""
        rest = [other for other in waiting if other.cronjob == rerun.cronjob]
        for other in rest:
            waiting.remove(other)
            self._outcomes[other.job] = Outcome.FAILED
        at = format_time(rerun.tick_at)
        warn(printable(f"{rerun.code} {at} and {len(rest) - 1} later ones are not run again: {why}"))

    def _tell(self, total: int, *, last: bool) -> None:
        """Print how far the backfill is, if that has changed."""
        line, now = str(tally(total, self._outcomes.values(), len(self._running))), time.monotonic()
        if line != self._told and (last or now >= self._tell_at):
            self._told, self._tell_at = line, now + TELL_SECONDS
            click.echo(line)


def _patiently(act: Callable[[], T]) -> T:
    """Return what `act` returns, which is tried again while the cluster or the console is away. Raises PluginError."""
    failures = 0
    while True:
        try:
            return act()
        except PluginError as error:
            failures += 1
            if failures > MOST_FAILURES or not _may_pass(error):
                raise
            pause = min(2.0**failures, LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311
            warn(f"not now, trying again in {pause:.0f} s: {error.message}")
            time.sleep(pause)


def _may_pass(error: PluginError) -> bool:
    """Whether an error may pass by itself: the API server gave no reason, or one of being busy."""
    return not isinstance(error, KubectlError) or error.reason in _PASSING
