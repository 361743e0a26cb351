"""ledger/job_run_queries.py and ledger/open_run_queries.py: a tick without a row gets a row, once.

A row that a tick wrote is never touched.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from region_operator.database.engine import transaction
from region_operator.ledger.batches import Batches
from region_operator.ledger.causes import Verdict
from region_operator.ledger.expected_ticks import ExpectedTick, TickKey, expected_ticks
from region_operator.ledger.job_run_queries import (
    LONG_RUNS,
    WrittenRow,
    find_final,
    find_long_runs,
    find_missing,
    write_final_rows,
)
from region_operator.ledger.open_run_queries import close_runs, find_open_runs
from region_operator.ledger.period_queries import Period, read_periods
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
SPEC = ScheduleSpec(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20)
MONTH = timedelta(days=30)
CREATED = Verdict(Reason.NOT_CREATED, "detail")
Ago: TypeAlias = "Callable[[float], datetime]"


@pytest.fixture
def ago() -> Ago:
    """Minutes before the minute in which the test began. The ledger looks back only 10 minutes, so the import's minute
    would be too old.
    """
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return lambda minutes: now - timedelta(minutes=minutes)


def tick(at: datetime, region: str = "1") -> ExpectedTick:
    return ExpectedTick(region, SPEC, at, None)


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


async def run(engine: AsyncEngine, at: datetime, *, region: str = "1", **values: Any) -> None:
    """Make the row of a tick that ran for half a minute, or as the values say."""
    row = {
        "source": SOURCE,
        "region_id": region,
        "tick_at": at,
        "region_code": "a",
        "cron": "",
        "state": "succeeded",
        "attempt": 1,
        "created_at": at,
        "started_at": at,
        "finished_at": at + timedelta(seconds=30),
        "lease_until": at + timedelta(seconds=30),
        "job_name": "j",
    } | values
    names = ", ".join(row)
    await execute(
        engine,
        f"INSERT INTO region_tick.job_run ({names}) VALUES ({', '.join(f':{name}' for name in row)})",
        **row,
    )


async def save_version(
    engine: AsyncEngine, since: datetime, *, source: str = SOURCE, scheduler: str = "uid", end: datetime | None = None
) -> None:
    row = ScheduleVersion(source=source, region_id="1", spec=SPEC, valid_from=since)
    await save_versions(engine, {row.key: row}, installation=scheduler)
    if end is not None:
        await execute(
            engine,
            "UPDATE region_tick.region_schedule SET valid_to = :end WHERE source = :source",
            end=end,
            source=source,
        )


async def periods(engine: AsyncEngine, *, retention: timedelta = MONTH) -> list[Period]:
    return (await read_periods(engine, installation="uid", retention=retention))[1]


async def test_ticks_without_a_row_are_found(engine: AsyncEngine, ago: Ago) -> None:
    await run(engine, ago(5))
    await run(engine, ago(3), state="missed")
    await run(engine, ago(2), manual_uid="m")
    ticks = [tick(ago(5)), tick(ago(4)), tick(ago(3)), tick(ago(2)), tick(ago(5), "2")]
    assert await find_missing(engine, SOURCE, ticks, Batches(2)) == [tick(ago(4)), tick(ago(2)), tick(ago(5), "2")]
    assert await find_missing(engine, "public.other", ticks, Batches()) == ticks
    assert await find_missing(engine, SOURCE, [], Batches()) == []


async def in_the_way(engine: AsyncEngine, ticks: list[ExpectedTick], *, source: str = SOURCE) -> set[TickKey]:
    """Return the ticks that were due while an earlier tick of the region ran."""
    runs = await find_long_runs(engine, source, ticks, Batches(3))
    return {
        tick.key
        for tick in ticks
        if any(run.region_id == tick.region_id and run.was_in_the_way_of(tick) for run in runs)
    }


async def test_ticks_that_were_due_while_another_ran_are_told(engine: AsyncEngine, ago: Ago) -> None:
    await run(engine, ago(5), finished_at=ago(4))
    await run(engine, ago(3), finished_at=ago(1.5))
    await run(engine, ago(9), region="2", manual_uid="m", finished_at=ago(0))
    await run(engine, ago(8), region="2", state="missed", started_at=None, finished_at=ago(0), lease_until=None)
    await run(engine, ago(24 * 60 + 9), region="3", finished_at=ago(0))
    await run(engine, ago(9), region="4", created_at=ago(1), started_at=ago(1), finished_at=ago(0))
    await run(engine, ago(9), region="5", finished_at=ago(0))
    ticks = [tick(ago(minutes), region) for region in "1234" for minutes in (8, 4, 2, 1)]
    assert await in_the_way(engine, ticks) == {("1", ago(2)), ("4", ago(1))}
    assert await in_the_way(engine, ticks, source="public.other") == set()
    assert {run.region_id for run in await find_long_runs(engine, SOURCE, ticks, Batches())} == {"1", "4"}
    assert await in_the_way(engine, []) == set()


@pytest.mark.parametrize("state", ["running", "interrupted"])
async def test_a_run_that_has_not_ended_is_in_the_way_until_its_lease_is_over(
    engine: AsyncEngine, ago: Ago, state: str
) -> None:
    await run(engine, ago(5), state=state, finished_at=None, lease_until=ago(2.5))
    ticks = [tick(ago(minutes)) for minutes in (5, 4, 3, 2)]
    assert await in_the_way(engine, ticks) == {("1", ago(4)), ("1", ago(3))}


async def test_what_was_in_the_way_is_found_by_the_ends_of_runs(engine: AsyncEngine, ago: Ago) -> None:
    """No settling may read a day of rows to find the few that matter."""
    await execute(
        engine,
        "INSERT INTO region_tick.job_run"
        " (source, region_id, tick_at, region_code, cron, state, started_at, finished_at, lease_until)"
        " SELECT :source, n::text, at, 'a', '', 'succeeded', at, at + n * interval '0.4 s', at"
        " FROM generate_series(1, 200) AS n, generate_series(:day, :day + interval '2 h', '1 min') AS at",
        source=SOURCE,
        day=ago(0).replace(hour=1),
    )
    await execute(engine, "ANALYZE region_tick.job_run")
    at = ago(0).replace(hour=3)
    regions = [str(number) for number in range(1, 200)]
    rows = await execute(engine, f"EXPLAIN {LONG_RUNS}", source=SOURCE, first=at, last=at, region_id=regions)
    plan = [line for (line,) in rows]
    assert not [line for line in plan if "Seq Scan" in line and "job_run_default" not in line]
    assert [line for line in plan if "finished_at_idx" in line]
    assert [line for line in plan if "tick_at_idx" in line]


async def test_the_ticks_that_are_final_are_found_by_the_whole_of_their_key(engine: AsyncEngine, ago: Ago) -> None:
    states = dict(enumerate(State, start=1))
    for minutes, state in states.items():
        await run(engine, ago(minutes), state=state.value)
    await run(engine, ago(9), manual_uid="m")
    ticks = [(SOURCE, "1", ago(minutes)) for minutes in (*states, 9, 10)]
    others = [("public.other", "1", ago(3)), (SOURCE, "2", ago(3)), (SOURCE, "1", ago(60 * 24 * 40))]
    found = await find_final(engine, ticks + others, Batches(2))
    assert found == [(SOURCE, "1", ago(minutes)) for minutes, state in states.items() if state.final]
    assert await find_final(engine, [], Batches()) == []


async def test_rows_are_written_once_and_beside_none_that_is_there(engine: AsyncEngine, ago: Ago) -> None:
    await save_version(engine, ago(60))
    await run(engine, ago(5), state="running")
    verdicts = [(tick(ago(5)), CREATED), (tick(ago(4)), CREATED), (tick(ago(3)), Verdict(Reason.CAPACITY))]
    written = await write_final_rows(engine, SOURCE, verdicts, Batches())
    assert sorted(written, key=lambda row: row.state) == [
        WrittenRow("missed", "not created"),
        WrittenRow("skipped", "capacity"),
    ]
    assert await write_final_rows(engine, SOURCE, verdicts, Batches()) == []
    rows = await execute(
        engine, "SELECT state, reason, error_message, job_name FROM region_tick.job_run ORDER BY tick_at"
    )
    assert rows == [
        ("running", None, None, "j"),
        ("missed", "not created", "detail", tick(ago(4)).job),
        ("skipped", "capacity", None, tick(ago(3)).job),
    ]


@pytest.mark.parametrize("state", ["running", "interrupted"])
async def test_open_rows_are_closed_by_attempt(engine: AsyncEngine, ago: Ago, state: str) -> None:
    await save_version(engine, ago(60))
    await run(engine, ago(9), state=state, finished_at=None, reason="terminated")
    await run(engine, ago(9), state=state, source="public.other")
    await run(engine, ago(8), state=state, lease_until=ago(0) + timedelta(hours=1))
    await run(engine, ago(7))
    await execute(engine, "UPDATE region_tick.job_run SET exit_code = 75")
    [row] = await find_open_runs(engine, installation="uid")
    assert (row.source, row.tick_at, row.attempt, row.recorded_reason, row.job) == (
        SOURCE,
        ago(9),
        1,
        "terminated",
        "j",
    )
    verdict = Verdict(Reason.LOST)
    assert await close_runs(engine, [(replace(row, attempt=2), verdict)]) == []
    assert await close_runs(engine, [(row, verdict)]) == [WrittenRow("failed", "lost")]
    assert await close_runs(engine, [(row, verdict)]) == []
    found = "SELECT finished_at, exit_code FROM region_tick.job_run WHERE state = 'failed'"
    [(finished, code)] = await execute(engine, found)
    assert (finished >= ago(9), code) == (True, 75)


async def test_a_closed_row_has_the_exit_code_of_its_pod_rather_than_that_which_the_attempt_wrote(
    engine: AsyncEngine, ago: Ago
) -> None:
    await save_version(engine, ago(60))
    await run(engine, ago(9), state="interrupted", finished_at=None)
    await execute(engine, "UPDATE region_tick.job_run SET exit_code = 75, pod = 'p'")
    [row] = await find_open_runs(engine, installation="uid")
    assert row.pod == "p"
    await close_runs(engine, [(row, Verdict(Reason.OUT_OF_MEMORY, "killed", 137))])
    assert await execute(engine, "SELECT exit_code FROM region_tick.job_run") == [(137,)]


async def test_a_run_that_began_under_another_owner_is_left_to_its_retries_for_an_hour(
    engine: AsyncEngine, ago: Ago
) -> None:
    """Its Job is in another cluster, and nobody here sees whether the Job goes on."""
    await save_version(engine, ago(99))
    for minutes in (9, 80):
        await run(engine, ago(minutes), state="interrupted", finished_at=None, reason="terminated")
    begun = "UPDATE region_tick.job_run SET started_at = :at, lease_until = :at WHERE tick_at = :at"
    for minutes in (9, 80):
        await execute(engine, begun, at=ago(minutes))
    await execute(engine, "UPDATE region_tick.slot_owner SET epoch = 2, since = :since", since=ago(5))
    assert [row.tick_at for row in await find_open_runs(engine, installation="uid")] == [ago(80)]
    await execute(engine, "UPDATE region_tick.slot_owner SET since = :since", since=ago(10))
    assert [row.tick_at for row in await find_open_runs(engine, installation="uid")] == [ago(80), ago(9)]
    assert await find_open_runs(engine, installation="another") == []


async def test_what_expected_gives_is_what_missing_takes(engine: AsyncEngine, ago: Ago) -> None:
    await save_version(engine, ago(8))
    [period] = await periods(engine)
    ticks = expected_ticks(period.versions, after=period.after, until=ago(0))
    assert [item.tick_at for item in ticks] == [ago(n) for n in range(7, -1, -1)]
    assert await find_missing(engine, SOURCE, ticks, Batches()) == ticks


async def test_a_statement_that_takes_too_long_is_asked_again_with_less(engine: AsyncEngine) -> None:
    """On a real server, a statement that takes 2 ms an item and may take 200 ms."""
    asked: list[int] = []

    async def ask(batch: Sequence[int]) -> list[int]:
        asked.append(len(batch))
        async with transaction(engine, timeout_seconds=0.2) as connection:
            await connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 0.002 * len(batch)})
        return list(batch)

    with pytest.raises(DBAPIError, match="statement timeout"):
        await ask(range(160))
    asked.clear()
    assert await Batches().run(range(160), ask) == [*range(160)]
    assert asked[:2] == [160, 80]
