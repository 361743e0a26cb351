"""ledger/evidence.py on a real Postgres: what is asked of whom, for ticks without a row, before they are judged."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from kubernetes.aio import client
from sqlalchemy import text

from region_operator.cronjobs.labels import CONTAINER, region_key
from region_operator.cronjobs.wire import ListMeta, Page
from region_operator.kube.api import Api
from region_operator.ledger.batches import Batches
from region_operator.ledger.evidence import judge_open_runs, judge_ticks
from region_operator.ledger.expected_ticks import ExpectedTick
from region_operator.ledger.job_watch import JobWatch
from region_operator.ledger.open_run_queries import OpenRun
from region_operator.ledger.pod_failure import JOB_NAME_LABEL
from region_operator.ledger.schedule_versions import ScheduleSpec
from region_tick.contract import Reason
from tests.harness.examples import job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
SPEC = ScheduleSpec(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20)
AT = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
TICK = ExpectedTick("1", SPEC, AT, None)
RESUMED = ExpectedTick("2", replace(SPEC, suspended=True), AT, AT + timedelta(seconds=5))


class NoJobs(Api):
    """An API server that knows no object, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(client.ApiClient(client.Configuration()))
        self.asked: list[str] = []

    async def get(self, path: str) -> dict[str, Any] | None:
        self.asked.append(path.rpartition("/")[2])
        return None

    async def pages(self, path: str) -> AsyncIterator[Page]:
        for _ in path[:0]:
            yield Page(ListMeta(), [])


async def reasons(engine: AsyncEngine, watch: JobWatch, *ticks: ExpectedTick) -> dict[str, Reason]:
    verdicts = await judge_ticks(
        engine, SOURCE, ticks, job_watch=watch, namespace="n", watched_since=AT, taken_over_at={}, batches=Batches()
    )
    return {tick.region_id: verdict.reason for tick, verdict in verdicts}


async def run_long(engine: AsyncEngine, region: str) -> None:
    """Make the row of a tick that ran when the next one was due."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, created_at,"
                " started_at, finished_at) VALUES (:source, :region, :at, '', '', 'succeeded', :at, :at, :end)"
            ),
            {"source": SOURCE, "region": region, "at": AT - timedelta(minutes=3), "end": AT + timedelta(minutes=1)},
        )


async def test_an_earlier_tick_that_ran_is_a_reason_and_a_suspension_the_better_one(engine: AsyncEngine) -> None:
    watch = JobWatch(NoJobs())
    assert await reasons(engine, watch, TICK) == {"1": Reason.NOT_CREATED}
    for region in ("1", "2"):
        await run_long(engine, region)
    assert await reasons(engine, watch, TICK, RESUMED) == {"1": Reason.STILL_RUNNING, "2": Reason.SUSPENDED}


async def test_another_job_of_the_region_that_was_active_is_a_reason_too(engine: AsyncEngine) -> None:
    watch = JobWatch(NoJobs())
    other = job(active=1)
    watch.jobs.remember(replace(other, name="other", region=region_key("1"), created=AT - timedelta(minutes=1)))
    assert await reasons(engine, watch, TICK) == {"1": Reason.STILL_RUNNING}


async def test_a_rerun_is_in_nobodys_way(engine: AsyncEngine) -> None:
    watch = JobWatch(NoJobs())
    other = replace(job(active=1), name="again", region=region_key("1"), created=AT - timedelta(minutes=1), rerun=True)
    watch.jobs.remember(other)
    await run_long(engine, "1")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE region_tick.job_run SET rerun_uid = 'u'"))
    assert await reasons(engine, watch, TICK) == {"1": Reason.NOT_CREATED}


async def test_a_job_is_asked_for_where_it_may_be_and_one_that_may_write_leaves_no_verdict(
    engine: AsyncEngine,
) -> None:
    api = NoJobs()
    watch = JobWatch(api)
    suspended = replace(RESUMED, ended=None)
    assert await reasons(engine, watch, TICK, RESUMED, suspended) == {"1": Reason.NOT_CREATED, "2": Reason.SUSPENDED}
    assert api.asked == [TICK.job, RESUMED.job]
    watch.jobs.remember(replace(job(active=1), name=TICK.job, region=region_key("1")))
    assert await reasons(engine, watch, TICK) == {}


class Pods(NoJobs):
    """An API server that has the pods of one Job. A pod is a name, an exit code, and the second of its creation."""

    def __init__(self, *pods: tuple[str, int, int]) -> None:
        super().__init__()
        self._pods = pods

    async def pages(self, path: str) -> AsyncIterator[Page]:
        yield Page(ListMeta(), [msgspec.Raw(json.dumps(_pod(*pod)).encode()) for pod in self._pods if "/pods" in path])


def _pod(name: str, code: int, second: int) -> dict[str, Any]:
    created = f"2026-11-24T10:00:{second:02}Z"
    ended = {"name": CONTAINER, "state": {"terminated": {"exitCode": code, "reason": "Error"}}}
    labels = {JOB_NAME_LABEL: TICK.job}
    return {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": created},
        "status": {"phase": "Failed", "containerStatuses": [ended]},
    }


YOUNGEST, OLDER = ("pod-1", 139, 40), ("pod-2", 75, 10)


@pytest.mark.parametrize("pods", [(YOUNGEST, OLDER), (OLDER, YOUNGEST)])
async def test_of_many_pods_an_open_run_is_judged_by_its_own_and_a_tick_without_a_row_by_the_youngest(
    engine: AsyncEngine, pods: tuple[tuple[str, int, int], ...]
) -> None:
    watch = JobWatch(Pods(*pods))
    watch.jobs.remember(job(("Failed", "BackoffLimitExceeded"), name=TICK.job, failed=2))
    rows = [OpenRun(SOURCE, "1", AT, "", 1, None, TICK.job, pod) for pod in ("pod-1", "pod-2", "pod-3", "")]
    found = await judge_open_runs(rows, job_watch=watch, namespace="n")
    assert [(verdict.reason, verdict.exit_code) for _, verdict in found] == [
        (Reason.LOST, 139),
        (Reason.LOST, 75),
        (Reason.LOST, None),
        (Reason.LOST, None),
    ]
    [(_, verdict)] = await judge_ticks(
        engine, SOURCE, [TICK], job_watch=watch, namespace="n", watched_since=AT, taken_over_at={}, batches=Batches()
    )
    assert (verdict.reason, verdict.exit_code) == (Reason.POD_FAILED, 139)
