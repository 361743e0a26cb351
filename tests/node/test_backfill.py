"""A backfill in real pods: each tick is done once, few at a time, and an interruption harms nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.kubectl import kubectl_binary
from tests.harness.long import rounds
from tests.harness.regions import add_regions
from tests.harness.signals import heeded
from tests.harness.waiting import eventually
from tests.node.installation import NAMESPACE, use_handler
from tests.node.test_cap import lifetimes, most_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.harness.kubectl import Kubectl

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

REGIONS = rounds(2, long=5)
TICKS = rounds(8, long=50)
CODES = [f"R{number}" for number in range(REGIONS)]
SLOTS = 4
PROGRESS = re.compile(r"(\d+) of (\d+): (\d+) succeeded, (\d+) failed, (\d+) running, (\d+) left")


@pytest.mark.usefixtures("console")
def test_missed_ticks_are_run_again_each_once_although_the_backfill_is_interrupted(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    use_handler(running, database, "short", retries=2)
    add_regions(database, CODES, cron="0 0 1 1 *")
    eventually(lambda: len(running.cronjobs()) == REGIONS, what="CronJobs")
    eventually(lambda: all(is_ours(item) for item in running.cronjobs().values()), what="they have the handler")
    miss(database)
    with begun(running) as first:
        eventually(lambda: len(done(database)) >= TICKS // 4, what="a part is done", seconds=300)
        first.send_signal(signal.SIGINT)
        told, _ = first.communicate(timeout=60)
    assert first.returncode == 130, told
    assert len(done(database)) < TICKS
    with begun(running) as second:
        told_then, _ = second.communicate(timeout=600)
    assert second.returncode == 0, told_then
    rows = database.execute("SELECT state, reason, attempt, rerun_by FROM region_tick.job_run").fetchall()
    assert rows == [("succeeded", "ok", 1, "the test: an outage")] * TICKS
    effects = database.execute("SELECT count(*), count(DISTINCT (region, tick_at)) FROM public.effects").fetchone()
    assert effects == (TICKS, TICKS)
    assert database.execute("SELECT FROM region_tick.region_cursor").rowcount == 0
    eventually(lambda: all(lives := lifetimes(running)) and len(lives) == TICKS, what="every pod has ended")
    assert 1 < most_at_once(lifetimes(running)) <= SLOTS
    shown = [[int(number) for number in found] for found in PROGRESS.findall(told + told_then)]
    assert [over for over, *_ in PROGRESS.findall(told_then)][-1:] == [str(shown[-1][1])]
    assert all(over == succeeded + failed for over, _, succeeded, failed, _, _ in shown)
    assert all(total == over + at_work + left for over, total, _, _, at_work, left in shown)
    assert max(at_work for *_, at_work, _ in shown) <= SLOTS
    ours = {item["metadata"]["name"] for item in running.cronjobs().values()}
    unexpected = running.get("events", "--field-selector", "reason=UnexpectedJob")["items"]
    assert not ours & {event["involvedObject"]["name"] for event in unexpected}


def is_ours(cronjob: dict[str, Any]) -> bool:
    environment = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"]
    return {"name": "TICK_HANDLER", "value": "work:short"} in environment


def miss(database: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Write rows as the ledger does, of ticks that were missed: the latest ten minutes ago."""
    last = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
    for number in range(TICKS):
        database.execute(
            "INSERT INTO region_tick.job_run"
            " (source, region_id, tick_at, region_code, cron, state, reason, finished_at)"
            " SELECT 'public.region_index', id::text, %s, code, '*/5 * * * *', 'missed', 'not created', now()"
            " FROM region_index WHERE code = %s",
            (last - number // REGIONS * timedelta(minutes=5), CODES[number % REGIONS]),
        )


def done(database: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return database.execute("SELECT FROM region_tick.job_run WHERE state = 'succeeded'").fetchall()


@contextmanager
def begun(kubectl: Kubectl) -> Iterator[subprocess.Popen[str]]:
    """Begin a backfill of all regions, as a person does."""
    flags = ("--from", "5h", "--max-parallel", str(SLOTS), "--yes", "--by", "the test", "--reason", "an outage")
    where = ("--namespace", NAMESPACE, "--kubeconfig", str(kubectl.kubeconfig))
    path = os.pathsep.join([str(Path(kubectl_binary()).parent), os.environ.get("PATH", os.defpath)])
    with heeded(signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-m", "kubectl_region", "backfill", *CODES, *flags, *where],
            env=os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()
