"""Every statement of the tick is one that the migrated database takes."""

from __future__ import annotations

import re

import psycopg
import pytest

from region_tick import creators, statements

STATEMENTS = {
    name: text
    for module in (statements, creators)
    for name, text in vars(module).items()
    if name.isupper() and isinstance(text, str)
}


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


def test_the_statements_are_all_there() -> None:
    assert set(STATEMENTS) == {
        "BOUNDS", "MANUAL_LOCK", "MANUAL_TICK_AT", "ROW_OF_JOB", "CLAIM", "RENEW", "GUARD", "FINISH", "FINISHED",
        "CREATORS", "CREATOR", "ANSWERED", "FAILED", "ITEMS",
    }  # fmt: skip
