"""ledger/tick_totals.py: each ending is counted once, whoever counts, and whatever breaks in between."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from region_operator.ledger import tick_totals
from region_operator.ledger.tick_totals import OTHER, add_suspended, count_ended, read_totals, sum_up
from region_operator.runtime.tick_metrics import DELAY_BOUNDS, DURATION_BOUNDS, TickTotal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE, OURS = "public.region_index", "ours"
NOW = datetime.now(UTC).replace(second=0, microsecond=0)

OWN = """
INSERT INTO region_tick.slot_owner (source, slot, installation)
SELECT :source, slot, :installation FROM generate_series(0, 255) AS slot ON CONFLICT DO NOTHING
"""
END = """
INSERT INTO region_tick.job_run
    (source, region_id, tick_at, manual_uid, region_code, cron, state, reason, started_at, finished_at)
SELECT :source, region::text, :tick_at, :manual_uid, 'a', '', :state, :reason,
    CAST(:tick_at AS timestamptz) + make_interval(secs => :delay),
    CAST(:tick_at AS timestamptz) + make_interval(secs => :delay + :duration)
FROM generate_series(1, :regions) AS region
"""


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


async def end_ticks(engine: AsyncEngine, regions: int = 1, **changes: Any) -> None:
    """Write the rows of ended ticks of the regions 1 to `regions`, of slots that are ours unless somebody has them."""
    await execute(engine, OWN, source=SOURCE, installation=OURS)
    ending = {"tick_at": NOW, "manual_uid": "", "state": "succeeded", "reason": "ok", "delay": 1.5, "duration": 4.0}
    await execute(engine, END, source=SOURCE, regions=regions, **(ending | changes))


async def totals(engine: AsyncEngine, installation: str = OURS) -> dict[tuple[str, str], TickTotal]:
    read = await read_totals(engine, installation=installation)
    return {(total.state, total.reason): total for total in read}


async def test_an_ending_is_counted_once(engine: AsyncEngine) -> None:
    await end_ticks(engine, 3)
    assert await count_ended(engine, installation=OURS) == 3
    assert await count_ended(engine, installation=OURS) == 0
    await end_ticks(engine, 2, tick_at=NOW - timedelta(minutes=1), delay=0.5, duration=7200.0)
    assert await count_ended(engine, installation=OURS) == 2
    total = (await totals(engine))["succeeded", "ok"]
    assert total.ticks == 5
    assert (total.delays.buckets[0], total.delays.buckets[2]) == (2, 3)
    assert total.durations.buckets[-1] == 2
    assert (total.delays.seconds, total.durations.seconds) == (5.5, 14412.0)


async def test_an_open_run_is_counted_when_it_has_ended_and_again_after_it_was_opened(engine: AsyncEngine) -> None:
    await end_ticks(engine, state="running", reason=None)
    assert await count_ended(engine, installation=OURS) == 0
    await execute(engine, "UPDATE region_tick.job_run SET state = 'failed', reason = 'timeout'")
    assert await count_ended(engine, installation=OURS) == 1
    await execute(engine, "UPDATE region_tick.job_run SET state = 'succeeded', reason = 'ok', counted = false")
    assert await count_ended(engine, installation=OURS) == 1
    assert {key: total.ticks for key, total in (await totals(engine)).items()} == {
        ("failed", "timeout"): 1,
        ("succeeded", "ok"): 1,
    }


async def test_each_hour_counts_the_ticks_of_its_minutes(engine: AsyncEngine) -> None:
    hour = NOW.replace(minute=0) - timedelta(hours=2)
    for minute in (0, 59, 60):
        await end_ticks(engine, 2, tick_at=hour + timedelta(minutes=minute))
    await end_ticks(engine, state="missed", reason="image", tick_at=hour + timedelta(minutes=30))
    await count_ended(engine, installation=OURS)
    async with engine.begin() as connection:
        await add_suspended(connection, SOURCE, 7, installation=OURS)
    await count_ended(engine, installation=OURS)
    counted = "SELECT hour, state, reason, ticks FROM region_tick.tick_hour ORDER BY hour, state"
    found = [(at.astimezone(UTC), *rest) for at, *rest in await execute(engine, counted)]
    assert found[:3] == [
        (hour, "missed", "image", 1),
        (hour, "succeeded", "ok", 4),
        (hour + timedelta(hours=1), "succeeded", "ok", 2),
    ]
    assert found[3][1:] == ("skipped", "suspended", 7)


async def test_a_manual_run_has_no_delay_and_a_tick_that_never_ran_has_no_duration(engine: AsyncEngine) -> None:
    await end_ticks(engine, manual_uid="by-hand")
    await end_ticks(engine, state="missed", reason="not created", delay=None, duration=None)
    await count_ended(engine, installation=OURS)
    found = await totals(engine)
    assert sum(found["succeeded", "ok"].delays.buckets) == 0
    assert sum(found["succeeded", "ok"].durations.buckets) == 1
    assert sum(found["missed", "not created"].durations.buckets) == 0


async def test_a_rerun_has_no_delay_and_counts_beside_the_ending_before(engine: AsyncEngine) -> None:
    await end_ticks(engine, state="missed", reason="not created", delay=None, duration=None)
    await count_ended(engine, installation=OURS)
    await execute(
        engine,
        "UPDATE region_tick.job_run SET state = 'succeeded', reason = 'ok', counted = false, rerun_uid = 'u',"
        " started_at = clock_timestamp(), finished_at = clock_timestamp()",
    )
    assert await count_ended(engine, installation=OURS) == 1
    found = await totals(engine)
    assert (found["missed", "not created"].ticks, found["succeeded", "ok"].ticks) == (1, 1)
    assert sum(found["succeeded", "ok"].delays.buckets) == 0
    assert sum(found["succeeded", "ok"].durations.buckets) == 1


async def test_reasons_of_handlers_count_as_one_however_many_and_long_they_are(engine: AsyncEngine) -> None:
    for minutes in range(5):
        made_up = "".join(chr(33 + (minutes * place) % 5000) for place in range(10_000))
        await end_ticks(engine, tick_at=NOW - timedelta(minutes=minutes), reason=made_up)
    assert await count_ended(engine, installation=OURS) == 5
    assert (await totals(engine))["succeeded", OTHER].ticks == 5


async def test_an_installation_counts_the_ticks_of_its_own_slots(engine: AsyncEngine) -> None:
    await execute(engine, OWN + " RETURNING 1", source=SOURCE, installation="theirs")
    await execute(engine, "UPDATE region_tick.slot_owner SET installation = 'ours' WHERE slot < 128")
    await end_ticks(engine, 50)
    mine, others = [await count_ended(engine, installation=name) for name in (OURS, "theirs")]
    assert mine + others == 50
    assert mine > 0 < others
    assert (await totals(engine, "theirs"))["succeeded", "ok"].ticks == others


async def test_a_day_that_was_not_analyzed_yet_is_counted_minute_by_minute(engine: AsyncEngine) -> None:
    for minutes in range(5):
        await end_ticks(engine, 6000, tick_at=NOW - timedelta(minutes=minutes))
    assert await count_ended(engine, installation=OURS) == 30_000


async def test_two_that_count_at_once_count_each_ending_once(engine: AsyncEngine) -> None:
    for minutes in range(3):
        await end_ticks(engine, 100, tick_at=NOW - timedelta(minutes=minutes))
    counted = await asyncio.gather(*(count_ended(engine, installation=OURS) for _ in range(4)))
    counted.append(await count_ended(engine, installation=OURS))
    assert sum(counted) == 300
    assert (await totals(engine))["succeeded", "ok"].ticks == 300


async def test_what_fails_between_marking_and_adding_counts_nothing(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError

    await end_ticks(engine, 3)
    with monkeypatch.context() as patched:
        patched.setattr(tick_totals, "_add", fail)
        with pytest.raises(ConnectionResetError):
            await count_ended(engine, installation=OURS)
    assert await count_ended(engine, installation=OURS) == 3


async def test_suspended_ticks_are_added(engine: AsyncEngine) -> None:
    for ticks in (0, 2, 1_000_000):
        async with engine.begin() as connection:
            await add_suspended(connection, SOURCE, ticks, installation=OURS)
    assert (await totals(engine))["skipped", "suspended"].ticks == 1_000_002


SECONDS = st.none() | st.floats(-10, 100_000)
ENDINGS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.just("ok"), SECONDS, SECONDS))


@given(ENDINGS)
def test_a_sum_loses_no_tick(endings: list[tuple[str, str, str, float | None, float | None]]) -> None:
    summed = [total for of_source in sum_up(endings).values() for total in of_source]
    assert sum(total.ticks for total in summed) == len(endings)
    assert sum(sum(total.delays.buckets) for total in summed) == sum(delay is not None for *_, delay, _ in endings)
    for total in summed:
        assert (len(total.delays.buckets), len(total.durations.buckets)) == (
            len(DELAY_BOUNDS) + 1,
            len(DURATION_BOUNDS) + 1,
        )
        assert total.durations.seconds >= 0
