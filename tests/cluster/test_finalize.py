"""ledger/finalize.py on a real Postgres and a real API server: which ticks get final rows, when, and at what cost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from region_operator.kube.api import Api
from region_operator.kube.connect import connect
from region_operator.ledger.expected_ticks import SLICE
from region_operator.ledger.finalize import Finalizer
from region_operator.ledger.job_cleanup import JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_tick.contract import job_name
from tests.cluster.jobs import create, create_unseen
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.harness.kubectl import Kubectl

SOURCE = "public.region_index"
SPEC = ScheduleSpec(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20)
SUSPENDED = replace(SPEC, suspended=True)
MONTH, NOTHING = timedelta(days=30), timedelta()
CREATED, STOPPED = "operator or cluster away", "suspended"


class RecordingApi(Api):
    """Remembers which Jobs were requested."""

    def __init__(self, api: Api) -> None:
        super().__init__(api._client)
        self.jobs: list[str] = []

    async def get(self, path: str) -> dict[str, Any] | None:
        self.jobs.append(path.rpartition("/")[2])
        return await super().get(path)


@pytest.fixture
async def api(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RecordingApi]:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    async with connect("test") as api:
        yield RecordingApi(api)


@pytest.fixture
def new_finalizer(api: RecordingApi, engine: AsyncEngine, kubectl: Kubectl) -> Callable[[], Finalizer]:
    """Make Finalizers that remember nothing, as after a restart."""
    of = scheduler().model_copy(update={"namespace": kubectl.namespace})

    def new() -> Finalizer:
        watch = JobWatch(api)
        return Finalizer(engine, of, job_watch=watch, job_cleanup=JobCleanup(api, watch), retention=MONTH)

    return new


@pytest.fixture
def ago() -> Callable[[float], datetime]:
    """Minutes before the one in which the test began."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return lambda minutes: now - timedelta(minutes=minutes)


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return list(result) if result.returns_rows else []


async def save_version(engine: AsyncEngine, spec: ScheduleSpec, since: datetime, *, source: str = SOURCE) -> None:
    row = ScheduleVersion(source=source, region_id="1", spec=spec, valid_from=since)
    await save_versions(engine, {row.key: row}, installation=scheduler().installation)


async def rows(engine: AsyncEngine, *, source: str = SOURCE) -> dict[datetime, str]:
    query = "SELECT tick_at, reason FROM region_tick.job_run WHERE source = :source"
    return {row.tick_at: row.reason for row in await execute(engine, query, source=source)}


async def suspensions(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    query = "SELECT first_tick_at, last_tick_at, ticks, suspended_until FROM region_tick.suspension"
    return [tuple(row) for row in await execute(engine, query)]


def are(reason: str, *moments: datetime) -> dict[datetime, str]:
    return dict.fromkeys(moments, reason)


async def test_a_suspended_region_has_one_row_and_no_job_is_looked_for(
    engine: AsyncEngine, api: RecordingApi, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    """The tick before was refused by the suspension too, but its Job might have come: it has a row of its own."""
    await save_version(engine, SPEC, ago(6.5))
    await save_version(engine, SUSPENDED, ago(4.9))
    await save_version(engine, SPEC, ago(2.5))
    await new_finalizer().finalize(NOTHING)
    found = await rows(engine)
    assert {at: reason for at, reason in found.items() if at < ago(1)} == {
        **are(CREATED, ago(6), ago(2)),
        **are(STOPPED, ago(5)),
    }
    assert await suspensions(engine) == [(ago(4), ago(3), 2, ago(2.5))]
    assert not {job_name(SPEC.cronjob, at) for at in (ago(4), ago(3))} & set(api.jobs)
    assert job_name(SPEC.cronjob, ago(5)) in api.jobs


async def test_a_suspension_goes_on_from_pass_to_pass_and_from_process_to_process(
    engine: AsyncEngine, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    await save_version(engine, SUSPENDED, ago(9.5))
    finalizer = new_finalizer()
    for minutes, finalizes in ((8.5, finalizer), (6.5, finalizer), (5.5, new_finalizer()), (2.5, finalizer)):
        await finalizes.finalize(datetime.now(UTC) - ago(minutes))
        assert await rows(engine) == {}
        [(first, last, ticks, until)] = await suspensions(engine)
        assert (first, until) == (ago(9), None)
        assert last == ago(minutes + 0.5)
        assert ticks == 10 - (minutes + 0.5)
    [(accounted,)] = await execute(engine, "SELECT accounted_until FROM region_tick.ledger")
    assert ago(2.6) < accounted < ago(2)


async def test_a_leftover_job_of_a_suspended_minute_is_as_final_as_its_minute(
    engine: AsyncEngine, kubectl: Kubectl, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    """A Job that waits for its pod goes. What a Job did that was in time stays, and is not counted."""
    await save_version(engine, SUSPENDED, ago(6.5))
    create(kubectl, job_name(SPEC.cronjob, ago(5)), priorityClassName="no-such-class")
    await execute(
        engine,
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, reason)"
        " VALUES (:source, '1', :at, '', '', 'succeeded', 'ok')",
        source=SOURCE,
        at=ago(4),
    )
    await new_finalizer().finalize(datetime.now(UTC) - ago(2.5))
    assert await suspensions(engine) == [(ago(6), ago(3), 3, None)]
    assert await rows(engine) == are("ok", ago(4))
    assert not kubectl.get("jobs")["items"]


async def test_a_job_of_the_last_suspended_minute_counts_if_the_region_was_resumed_in_time(
    engine: AsyncEngine, kubectl: Kubectl, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    """The tick was not counted while it was not known what came of the suspension."""
    await save_version(engine, SUSPENDED, ago(6.5))
    finalizer = new_finalizer()
    await finalizer.finalize(datetime.now(UTC) - ago(3.9))
    assert await suspensions(engine) == [(ago(6), ago(5), 2, None)]
    await save_version(engine, SPEC, ago(3.8))
    create(kubectl, job_name(SPEC.cronjob, ago(4)))
    await finalizer.finalize(NOTHING)
    assert await suspensions(engine) == [(ago(6), ago(5), 2, ago(3.8))]
    assert not {ago(6), ago(5), ago(4)} & (await rows(engine)).keys()
    [(accounted,)] = await execute(engine, "SELECT accounted_until FROM region_tick.ledger")
    assert ago(5) < accounted < ago(4)
    kubectl("delete", "job", job_name(SPEC.cronjob, ago(4)))
    await new_finalizer().finalize(NOTHING)
    assert ago(4) in await rows(engine)
    assert (await suspensions(engine))[0][2] == 2


async def test_after_a_pass_that_failed_the_next_one_looks_at_less_time_at_once(
    engine: AsyncEngine, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    await save_version(engine, SPEC, ago(6.5))
    finalizer = new_finalizer()
    assert finalizer.slice_length == SLICE
    await execute(engine, "ALTER TABLE region_tick.job_run RENAME TO away")
    for _ in range(2):
        with pytest.raises(ProgrammingError):
            await finalizer.finalize(NOTHING)
    assert finalizer.slice_length == SLICE / 4
    await execute(engine, "ALTER TABLE region_tick.away RENAME TO job_run")
    await finalizer.finalize(NOTHING)
    assert {at for at in await rows(engine) if at < ago(1)} == {ago(n) for n in range(2, 7)}
    assert finalizer.slice_length == SLICE / 2
    await finalizer.finalize(NOTHING)
    await finalizer.finalize(NOTHING)
    assert finalizer.slice_length == SLICE


async def test_a_pass_that_is_cut_off_leaves_the_next_one_less_to_do_at_once(
    engine: AsyncEngine, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    await save_version(engine, SPEC, ago(6.5))
    finalizer = new_finalizer()
    async with engine.begin() as connection:
        await connection.execute(text("LOCK TABLE region_tick.job_run"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await finalizer.finalize(NOTHING)
    assert finalizer.slice_length == SLICE / 2


async def test_a_source_that_was_left_is_settled_to_its_end_and_its_open_rows_are_closed(
    engine: AsyncEngine, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    await save_version(engine, SPEC, ago(6.5), source="public.left")
    await save_version(engine, SPEC, ago(3.5))
    await execute(
        engine,
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, attempt, lease_until)"
        " VALUES ('public.left', '1', :at, '', '', 'running', 1, :at)",
        at=ago(5),
    )
    finalizer = new_finalizer()
    for _ in range(2):
        await finalizer.finalize(NOTHING)
        assert await rows(engine, source="public.left") == are(CREATED, ago(6), ago(4)) | are("lost", ago(5))
        assert {at for at in await rows(engine) if at < ago(1)} == {ago(3), ago(2)}


async def test_of_what_is_not_known_yet_nothing_is_said(
    engine: AsyncEngine, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    await save_version(engine, SPEC, ago(6.5))
    finalizer = new_finalizer()
    await finalizer.finalize(datetime.now(UTC) - ago(4.5))
    assert await rows(engine) == are(CREATED, ago(6), ago(5))
    await finalizer.finalize(NOTHING)
    assert {at for at in await rows(engine) if at < ago(1)} == {ago(n) for n in range(2, 7)}


async def test_a_tick_is_not_judged_before_it_is_known_what_came_of_its_schedule(
    engine: AsyncEngine, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    await save_version(engine, replace(SPEC, start_deadline_seconds=100), ago(6.5))
    finalizer = new_finalizer()
    await finalizer.finalize(datetime.now(UTC) - ago(3))
    assert await rows(engine) == are(CREATED, ago(6), ago(5))
    await finalizer.finalize(NOTHING)
    assert ago(4) in await rows(engine)


async def test_what_hangs_is_waited_for_and_nothing_else_is_looked_at_twice(
    engine: AsyncEngine,
    kubectl: Kubectl,
    new_finalizer: Callable[[], Finalizer],
    ago: Callable[[float], datetime],
) -> None:
    """A row that goes behind the ledger's back shows who looked."""
    hangs = job_name(SPEC.cronjob, ago(6))
    create(kubectl, hangs)
    await save_version(engine, SPEC, ago(6.5))
    finalizer = new_finalizer()
    await finalizer.finalize(NOTHING)
    assert {at for at in await rows(engine) if at < ago(1)} == {ago(n) for n in range(2, 6)}
    await execute(engine, "DELETE FROM region_tick.job_run WHERE tick_at = :at", at=ago(4))
    await finalizer.finalize(NOTHING)
    assert not {ago(6), ago(4)} & (await rows(engine)).keys()
    [(accounted,)] = await execute(engine, "SELECT accounted_until FROM region_tick.ledger")
    assert ago(7) < accounted < ago(6)
    await new_finalizer().finalize(NOTHING)
    assert ago(4) in await rows(engine)
    kubectl("delete", "job", hangs)
    await finalizer.finalize(NOTHING)
    assert (await rows(engine))[ago(6)] == "pod not started"
    [(accounted,)] = await execute(engine, "SELECT accounted_until FROM region_tick.ledger")
    assert accounted > ago(2)


async def test_a_job_that_waits_goes_in_the_settling_that_writes_its_row(
    engine: AsyncEngine, kubectl: Kubectl, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    create(kubectl, job_name(SPEC.cronjob, ago(6)), priorityClassName="no-such-class")
    await save_version(engine, SPEC, ago(6.5))
    await new_finalizer().finalize(NOTHING)
    assert ago(6) in await rows(engine)
    assert not kubectl.get("jobs")["items"]


async def test_a_job_that_its_controller_never_looked_at_goes_when_its_tick_can_no_longer_start(
    engine: AsyncEngine, kubectl: Kubectl, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    """Or the Job controller, when it has too many Jobs, would make one pod after the other that comes too late."""
    late, in_time = job_name(SPEC.cronjob, ago(6)), job_name(SPEC.cronjob, ago(-60))
    for name in (late, in_time):
        create_unseen(kubectl, name)
    await save_version(engine, SPEC, ago(6.5))
    await new_finalizer().finalize(NOTHING)
    assert (await rows(engine))[ago(6)] == "pod not started"
    assert [job["metadata"]["name"] for job in kubectl.get("jobs")["items"]] == [in_time]


async def test_a_job_that_waits_goes_once_its_tick_is_final_whoever_saw_that_row_written(
    engine: AsyncEngine, kubectl: Kubectl, new_finalizer: Callable[[], Finalizer], ago: Callable[[float], datetime]
) -> None:
    await save_version(engine, SPEC, ago(6.5))
    await new_finalizer().finalize(NOTHING)
    await execute(
        engine,
        "UPDATE region_tick.job_run SET state = 'running', lease_until = now() + interval '1 hour' WHERE tick_at = :at",
        at=ago(5),
    )
    await execute(engine, "DELETE FROM region_tick.job_run WHERE tick_at = :at", at=ago(4))
    final, unfinished, without = (job_name(SPEC.cronjob, ago(minutes)) for minutes in (6, 5, 4))
    others = {unfinished, without, f"{SPEC.cronjob}-by-hand", f"b-{final}"}
    for name in {final} | others:
        create(kubectl, name, priorityClassName="no-such-class")
    await new_finalizer().finalize(NOTHING)
    assert {job["metadata"]["name"] for job in kubectl.get("jobs")["items"]} == others
