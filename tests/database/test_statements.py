"""Every statement of the tick is one that the migrated database takes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import psycopg
import pytest

from region_tick import delivery, items, rerun, shared_budgets, shared_places, statements, turns, upstreams
from region_tick.handlers import enqueue

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
MODULES = (delivery, enqueue, items, rerun, shared_budgets, shared_places, statements, turns, upstreams)
STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": text
    for module in MODULES
    for name, text in vars(module).items()
    if name.isupper() and name[0] != "_" and isinstance(text, str) and " " in text and text.strip().split()[0] in VERBS
}

ENDED_RUNS = """
INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, attempt)
SELECT 's', region::text, %(tick_at)s::timestamptz, 'code', '* * * * *', 'succeeded', 1
FROM generate_series(1, 10000) region
"""


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_statement_is_prepared_by_the_migrated_database(name: str, database: str) -> None:
    parameters: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            parameters.append(match[1])
        return f"${parameters.index(match[1]) + 1}"

    statement = re.sub(r"%\((\w+)\)s", numbered, STATEMENTS[name])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"PREPARE tried AS {statement}".encode())
        prepared = connection.execute("SELECT 1 FROM pg_prepared_statements WHERE name = 'tried'").fetchall()
    assert len(prepared) == 1


@pytest.mark.parametrize("name", ["statements.RENEW", "statements.GUARD", "statements.FINISH"])
def test_a_tick_finds_its_row_by_the_primary_key(name: str, database: str) -> None:
    """The index of open runs looks cheaper to the planner: when the statistics were made, no run was open."""
    key = {"source": "s", "region_id": "1", "tick_at": datetime.now(UTC), "manual_uid": "", "pod": "p", "attempt": 1}
    parameters = dict.fromkeys(re.findall(r"%\((\w+)\)s", STATEMENTS[name])) | key
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ENDED_RUNS, key)
        connection.execute("VACUUM ANALYZE region_tick.job_run")
        plan = connection.execute(f"EXPLAIN {STATEMENTS[name]}".encode(), parameters).fetchall()
    (scan,) = (line for (line,) in plan if " on job_run_" in line and "Scan" in line)
    assert "_pkey on job_run_" in scan


def test_the_statements_are_all_there() -> None:
    of_the_tick = {name.removeprefix("statements.") for name in STATEMENTS if name.startswith("statements.")}
    assert of_the_tick == {
        "BOUNDS", "MANUAL_LOCK", "MANUAL_TICK_AT", "ROW_OF_JOB", "FIRST_CLAIM", "CLAIM", "RENEW", "GUARD", "FINISH",
        "FINISHED",
    }  # fmt: skip
    assert {name.partition(".")[0] for name in STATEMENTS} == {module.__name__.rpartition(".")[2] for module in MODULES}
