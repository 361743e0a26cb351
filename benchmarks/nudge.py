"""Measures how long the choice of the Jobs to nudge takes among ten thousand waiting Jobs, compared with a floor.

The cases run in turn, ROUNDS times in one run:

- four slots, or a hundred slots, are free.
- four slots are free, and each Job was nudged a moment ago, in vain.
- the floor: find the oldest of the waiting Jobs by one look at each. No choice could be faster.

Times depend on the machine, so the benchmark judges ratios: each case's median may be LIMITS times the floor's at most.

    .venv/bin/python -m benchmarks.nudge
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from region_operator.cronjobs.job import Job
from region_operator.cronjobs.labels import CONTAINER, QUOTA_NAME
from region_operator.kube.nudge import EFFECT_SECONDS, Nudger
from region_operator.kube.waiting_job import waiting_job
from region_operator.scheduler import format_time
from region_tick.contract import Variable
from tests.harness.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS = 10_000
ROUNDS = 20
MINUTE = 29_925_017
FLOOR_CASE = "floor: the oldest"
LIMITS = {"4 free": 15, "100 free": 15, "4 free, all nudged in vain": 30}


def main() -> int:
    """Measure and print a table. Return 1 if a choice takes too long."""
    seconds = defaultdict[str, list[float]](list)
    cases = make_cases()
    for _ in range(ROUNDS):
        for case, choose in cases.items():
            began = time.process_time()
            choose()
            seconds[case].append(time.process_time() - began)
    medians = {case: statistics.median(each) for case, each in seconds.items()}
    ratios = {case: median / medians[FLOOR_CASE] for case, median in medians.items()}
    table = Table(f"{JOBS:,} WAITING JOBS", "MEDIAN MILLISECONDS", "RATIO", "AT MOST", box=None)
    for case, median in medians.items():
        table.add_row(case, f"{median * 1000:.2f}", f"{ratios[case]:.1f}", str(LIMITS.get(case, "")))
    Console().print(table)
    return 0 if all(ratios[case] <= limit for case, limit in LIMITS.items()) else 1


def make_cases() -> dict[str, Callable[[], object]]:
    """Return what is measured, by case."""
    bodies = [make_job(number) for number in range(JOBS)]
    jobs = [found for body in bodies if (found := waiting_job(body, now=0.0))]
    in_vain, clock = make_nudger(bodies, free=4)
    in_vain.remember_nudges(jobs)
    clock.now += EFFECT_SECONDS
    return {
        FLOOR_CASE: lambda: min(jobs, key=lambda job: job.minute),
        "4 free": make_nudger(bodies, free=4)[0].choose_jobs,
        "100 free": make_nudger(bodies, free=100)[0].choose_jobs,
        "4 free, all nudged in vain": in_vain.choose_jobs,
    }


def make_nudger(jobs: list[Job], *, free: int) -> tuple[Nudger, Clock]:
    """Return a Nudger, and its clock, that has seen each region start at some time in the last hour."""
    clock = Clock()
    successes = {
        f"region-{number}": format_time(datetime.fromtimestamp(MINUTE * 60 - number * 7919 % 3600, UTC))
        for number in range(len(jobs))
    }
    nudger = Nudger(last_success=successes.__getitem__, clock=clock, wall_clock=lambda: MINUTE * 60.0)
    for job in jobs:
        nudger.observe_job(job)
    status = {"hard": {"pods": str(free)}, "used": {"pods": "0"}}
    nudger.observe_quota({"metadata": {"name": QUOTA_NAME}, "status": status}, deleted=False)
    return nudger, clock


def make_job(number: int) -> Job:
    """Return a Job whose first pod the quota refused."""
    environment = [{"name": Variable.START_DEADLINE_SECONDS, "value": "20"}]
    began = format_time(datetime.fromtimestamp(MINUTE * 60, UTC))
    name = f"region-{number}-{MINUTE}"
    return Job.from_object(
        {
            "metadata": {"name": name, "uid": str(number), "resourceVersion": "1", "creationTimestamp": began},
            "spec": {"template": {"spec": {"containers": [{"name": CONTAINER, "env": environment}]}}},
            "status": {"startTime": began},
        }
    )


if __name__ == "__main__":
    sys.exit(main())
