"""Who had the rights of the release before has those of this one as soon as the database is migrated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from region_operator.database.grants import RIGHTS, Kind, Right
from region_operator.database.migrate import migrate
from region_tick.contract import SCHEMA
from region_tick.database_url import DatabaseUrl
from tests.database.schema import migrate_before, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.roles import Roles

BEFORE = "0015"
"""The first revision that carries rights on."""
PRIVILEGES = {
    "SELECT": "has_table_privilege",
    "INSERT": "has_table_privilege",
    "UPDATE": "has_table_privilege",
    "DELETE": "has_table_privilege",
    "USAGE": "has_sequence_privilege",
}


@pytest.fixture
def database(empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of a database as the release before left it."""
    migrate_before(BEFORE, empty_database, monkeypatch, tmp_path)
    return empty_database


def granted_before(connection: psycopg.Connection, kind: Kind) -> Iterator[Right]:
    """Yield what the release before granted: the rights on what there is."""
    for right in RIGHTS[kind]:
        names = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND NOT attisdropped AND attnum > 0",
            (f"{SCHEMA}.{right.relation}",),
        ).fetchall()
        there = tuple(name for (name,) in names if name in right.columns)
        if names:
            yield Right(right.privileges, right.relation, there)


def grant(connection: psycopg.Connection, right: Right, role: str) -> None:
    columns = f"({', '.join(right.columns)})" if right.columns else ""
    kind = "SEQUENCE" if right.privileges == ("USAGE",) else "TABLE"
    statement = f"GRANT {', '.join(right.privileges)} {columns} ON {kind} {SCHEMA}.{right.relation} TO {role}"
    connection.execute(statement.encode())


def lacking(connection: psycopg.Connection, kind: Kind, role: str) -> set[str]:
    """Return which rights of this release a role lacks."""
    missing: set[str] = set()
    for right in RIGHTS[kind]:
        for privilege in right.privileges:
            for column in right.columns or (None,):
                name, function = f"{SCHEMA}.{right.relation}", PRIVILEGES[privilege]
                asked = (role, name, privilege) if column is None else (role, name, column, privilege)
                query = (
                    f"SELECT {function if column is None else 'has_column_privilege'}({', '.join(['%s'] * len(asked))})"
                )
                if connection.execute(query.encode(), asked).fetchone() != (True,):
                    missing.add(f"{privilege} {right.relation} {column or ''}".strip())
    return missing


def test_ticks_and_workers_need_no_new_grants_after_the_migration(roles: Roles, database: str) -> None:
    kinds = (Kind.TICK, Kind.WORKER)
    with psycopg.connect(database, autocommit=True) as connection:
        for kind in kinds:
            for right in list(granted_before(connection, kind)):
                grant(connection, right, roles.name(kind))
        asyncio.run(migrate(DatabaseUrl.parse(database)))
        assert {kind: lacking(connection, kind, roles.name(kind)) for kind in kinds} == {kind: set() for kind in kinds}
        nobody = roles.name(Kind.CONSOLE)
        assert "UPDATE upstream fresh_until" in lacking(connection, Kind.TICK, nobody), "others get nothing"
        assert "DELETE budget" in lacking(connection, Kind.TICK, nobody)


def test_a_right_of_everybody_is_carried_on_to_everybody(roles: Roles, database: str) -> None:
    run(
        database,
        "GRANT UPDATE (state) ON region_tick.job_run TO PUBLIC",
        "GRANT UPDATE (etag) ON region_tick.upstream TO PUBLIC",
        "GRANT INSERT ON region_tick.upstream TO PUBLIC",
    )
    asyncio.run(migrate(DatabaseUrl.parse(database)))
    with psycopg.connect(database) as connection:
        missing = lacking(connection, Kind.TICK, roles.name(Kind.CONSOLE))
    for right in ("UPDATE job_run rerun_uid", "UPDATE job_run counted", "UPDATE upstream fresh_seconds"):
        assert right not in missing
    assert not {right for right in missing if right.endswith("budget")}
