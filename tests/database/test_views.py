"""The views of the ledger: what people ask is answered, and every count agrees with the ticks that there were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.database.schema import run

DAY = datetime(2026, 11, 27, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ROWS = (
    ("1", DAY + 1 * MINUTE, "succeeded", "ok", 30),
    ("1", DAY + 2 * MINUTE, "missed", "not created", None),
    ("2", DAY + 1 * MINUTE, "missed", "not created", None),
    ("2", DAY + 2 * MINUTE, "missed", "image", None),
    ("2", DAY + 3 * MINUTE, "failed", "error", 10),
    ("2", DAY + 4 * MINUTE, "running", None, None),
    ("2", DAY - 1 * MINUTE, "missed", "image", None),
)


@pytest.fixture
def ledger(database: str) -> str:
    """Some rows of two days in UTC, and a suspension of an hour."""
    with psycopg.connect(database) as connection:
        for region, at, state, reason, seconds in ROWS:
            started = at if seconds or state == "running" else None
            finished = None if state == "running" else at + timedelta(seconds=seconds or 40)
            connection.execute(
                "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, reason,"
                " started_at, finished_at) VALUES ('s', %s, %s, 'a', '* * * * *', %s, %s, %s, %s)",
                (region, at, state, reason, started, finished),
            )
        connection.execute(
            "INSERT INTO region_tick.suspension VALUES"
            " ('s', '1', %s, NULL, 'a', '* * * * *', 'paused by me', %s, %s, 60, %s, %s)",
            (DAY, DAY + 60 * MINUTE, DAY + 119 * MINUTE, DAY + 120 * MINUTE, DAY + 121 * MINUTE),
        )
    return database


def ask(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_suspension_is_one_line_and_counts_sum_its_ticks(ledger: str) -> None:
    query = "SELECT state, reason, count(*), sum(ticks) FROM region_tick.runs GROUP BY 1, 2 ORDER BY 1, 2"
    assert ask(ledger, query) == [
        ("failed", "error", 1, 1),
        ("missed", "image", 2, 2),
        ("missed", "not created", 2, 2),
        ("running", None, 1, 1),
        ("skipped", "suspended", 1, 60),
        ("succeeded", "ok", 1, 1),
    ]
    columns = "tick_at, last_tick_at, manual, attempt, duration, finished_at, error_message, job_name"
    assert ask(ledger, f"SELECT {columns} FROM region_tick.runs WHERE reason = 'suspended'") == [
        (DAY + 60 * MINUTE, DAY + 119 * MINUTE, False, 0, None, DAY + 121 * MINUTE, "paused by me", None)
    ]
    assert ask(ledger, "SELECT count(*) FROM region_tick.runs WHERE last_tick_at = tick_at") == [(len(ROWS),)]


def test_missed_by_cause_is_by_day_of_utc(ledger: str) -> None:
    query = "SELECT day, reason, ticks, regions FROM region_tick.missed_by_cause ORDER BY day, reason"
    yesterday, today = (DAY - MINUTE).date(), DAY.date()
    assert ask(ledger, query) == [(yesterday, "image", 1, 1), (today, "image", 1, 1), (today, "not created", 2, 2)]


def test_durations_are_of_the_runs_that_ended(ledger: str) -> None:
    seconds = timedelta(seconds=1)
    query = "SELECT day, sampled, p50, p95 FROM region_tick.durations_by_day"
    assert ask(ledger, query) == [(DAY.date(), 2, 10 * seconds, 30 * seconds)]


def test_durations_of_a_large_ledger_are_those_of_a_sample(database: str) -> None:
    """Of 300,000 runs of 1 to 100 s, in 48 MB, a part is read."""
    run(
        database,
        "INSERT INTO region_tick.job_run"
        " (source, region_id, tick_at, region_code, cron, state, started_at, finished_at, error_message)"
        f" SELECT 's', n::text, '{DAY}', 'a', '', 'succeeded', '{DAY}', timestamptz '{DAY}' + n % 100 * interval '1 s',"
        " repeat('x', 60) FROM generate_series(1, 300000) n",
    )
    [(sampled, p95)] = ask(database, "SELECT sampled, p95 FROM region_tick.durations_by_day")
    assert 50_000 < sampled < 150_000
    assert timedelta(seconds=93) <= p95 <= timedelta(seconds=96)
    assert ask(database, "SELECT sampled FROM region_tick.durations_by_day") == [(sampled,)]


def test_failures_of_the_last_hour_are_by_when_they_were_known(database: str) -> None:
    for region, minutes, state in (("1", 5, "failed"), ("2", 5, "missed"), ("3", 70, "failed"), ("4", 5, "skipped")):
        run(
            database,
            "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, finished_at)"
            f" VALUES ('s', '{region}', now() - interval '2 days', 'a', '', '{state}',"
            f" now() - interval '{minutes} minutes')",
        )
    assert ask(database, "SELECT region_id FROM region_tick.recent_failures ORDER BY 1") == [("1",), ("2",)]


def test_the_last_success_is_told_of_each_region_that_has_a_schedule(database: str) -> None:
    schedule = "INSERT INTO region_tick.region_schedule VALUES ('s', '{}', '* * * * *', 'a', {}, {}, 'c', 20, {})"
    run(
        database,
        schedule.format("1", "'2026-11-01'", "'2026-11-02'", "true"),
        schedule.format("1", "'2026-11-02'", "NULL", "false"),
        schedule.format("2", "'2026-11-01'", "NULL", "true"),
        schedule.format("3", "'2026-11-01'", "'2026-11-02'", "false"),
        "INSERT INTO region_tick.region_cursor VALUES"
        f" ('s', '1', 'poke', NULL, '{DAY - MINUTE}', '{DAY}'), ('s', '1', 'poll', NULL, '{DAY}', '{DAY + MINUTE}')",
    )
    query = "SELECT region_id, suspended, tick_at, finished_at FROM region_tick.last_success ORDER BY 1"
    assert ask(database, query) == [("1", False, DAY, DAY + MINUTE), ("2", True, None, None)]
