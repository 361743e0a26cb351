"""Thousands of regions, two operators with little CPU, and a neighbour that wants all of it.

`make test-scale` runs the same with 10,000 regions.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator.progress import REPORT_EVERY_SECONDS
from tests.harness.leaders import TAKE_OVER_SECONDS, assert_they_wrote_in_turn, leads, wait_until_it_leads
from tests.harness.regions import ONCE_A_YEAR, add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess

REGIONS = int(os.environ.get("SCALE_REGIONS") or 3000)
REWRITE_SECONDS = 60 + REGIONS / 20
EDITS = 50
NICENESS = 6
"""The weight of a process with 250m of CPU (cpu.shares 256) beside a process with a whole core, in the kernel's
scheduler (kernel/sched/core.c, sched_prio_to_weight: 272 of 1024).
"""


@contextmanager
def replica(run_operator: RunOperator) -> Iterator[OperatorProcess]:
    """Run an operator with the CPU weight of the Deployment."""
    with run_operator() as operator:
        eventually(lambda: operator.logged("starting"), what="it starts")
        for thread in Path(f"/proc/{operator.pid}/task").iterdir():  # threads that come later inherit it
            os.setpriority(os.PRIO_PROCESS, int(thread.name), NICENESS)
        yield operator


@contextmanager
def busy_neighbour() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def schedules(kubectl: Kubectl) -> dict[str, str]:
    return {code: item["spec"]["schedule"] for code, item in kubectl.cronjobs().items()}


def is_ready(kubectl: Kubectl) -> bool:
    """Whether all regions are scheduled and nothing is left to do, by a status of this generation."""
    scheduler = kubectl.scheduler()
    status = scheduler.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    return (
        bool(status)
        and status["observedGeneration"] == scheduler["metadata"]["generation"]
        and conditions.keys() == {"Ready"}
        and conditions["Ready"]["status"] == "True"
        and status["regions"]["scheduled"] == REGIONS
    )


@pytest.mark.alone
@pytest.mark.timeout(300 + 4 * REWRITE_SECONDS)
def test_many_regions_have_one_writer_and_follow_their_table(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, database: str
) -> None:
    add_regions(database, REGIONS)
    with (
        psycopg.connect(database, autocommit=True) as connection,
        busy_neighbour(),
        replica(run_operator) as first,
        replica(run_operator) as second,
    ):
        eventually(lambda: is_ready(kubectl), what=f"{REGIONS} CronJobs", seconds=REWRITE_SECONDS)
        leader, standby = (first, second) if leads(first) else (second, first)
        added, progress = leader.logged("added"), leader.logged("applying")
        took = datetime.fromisoformat(added[-1]["ts"]) - datetime.fromisoformat(added[0]["ts"])
        assert len(progress) >= took.total_seconds() // REPORT_EVERY_SECONDS - 1, "a long fill says how far it is"
        assert all(0 < line["done"] <= line["of"] == REGIONS for line in progress)

        wanted = {f"R{number}": ONCE_A_YEAR for number in range(1, REGIONS + 1)}
        for number in range(EDITS):
            code, schedule = f"R{number * 53 % REGIONS + 1}", f"{number} 3 1 1 *"
            edit(connection, "UPDATE region_index SET cron_schedule = %s WHERE code = %s", schedule, code)
            wanted[code] = schedule
        eventually(lambda: len(leader.logged("rescheduled")) == EDITS, what="the edits show", seconds=60)
        assert schedules(kubectl) == wanted

        leader.signal(signal.SIGKILL)
        leader.wait()
        edit(connection, "UPDATE region_index SET cron_schedule = '7 7 7 7 *' WHERE code = 'R1'")
        wanted["R1"] = "7 7 7 7 *"
        wait_until_it_leads(standby, seconds=TAKE_OVER_SECONDS)
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == "7 7 7 7 *", what="the edit is found")
        assert standby.logged("added") == []

        patch = json.dumps({"spec": {"tick": {"env": [{"name": "NEW", "value": "1"}]}}})
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", patch)
        eventually(lambda: is_ready(kubectl), what="all are written anew", seconds=REWRITE_SECONDS)
        assert len(standby.logged("updated")) == REGIONS
        assert schedules(kubectl) == wanted

        edit(connection, "TRUNCATE region_index")
        eventually(lambda: standby.logged("changes held"), what="nothing is deleted", seconds=60)
        assert standby.logged("changes held")[0]["held"] == REGIONS
        assert schedules(kubectl) == wanted
        assert leads(standby)
        assert standby.logged("lease not renewed") == leader.logged("lease not renewed") == []
    assert_they_wrote_in_turn(control_plane, kubectl, [leader, standby])


def edit(connection: psycopg.Connection[Any], statement: str, *values: object) -> None:
    connection.execute(statement.encode(), values)
