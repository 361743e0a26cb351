"""database/giving_way.py: a migration gives way to others' transactions, and says who they are and what to do."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import psycopg
import pytest

from region_operator.database.migrate import MigrationError, SchemaState, migrate, newest_revision
from region_tick.database_url import DatabaseUrl
from tests.database.schema import migrate_before, run, state, value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIGRATED = f"the migration to revision {newest_revision()}"


def refused(url: str) -> str:
    """Migrate a database in use, and return what is said."""
    with pytest.raises(MigrationError) as caught:
        asyncio.run(migrate(DatabaseUrl.parse(url)))
    return str(caught.value)


def test_tables_in_use_are_left_alone_and_it_is_said_by_whom_and_what_to_do(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    migrate_before("0018", empty_database, monkeypatch, tmp_path)
    with psycopg.connect(empty_database, application_name="report") as report:
        report.execute("SELECT FROM region_tick.job_run")
        message = refused(empty_database)
        pid = report.info.backend_pid
    told = rf"{MIGRATED} gave way, .* in use by process {pid} \(report, idle in transaction since [\d-]+T[\d:]+Z\)"
    assert re.match(told, message), message
    assert "follows neither the table nor the RegionScheduler" in message
    assert f"SELECT pg_terminate_backend({pid})" in message
    asyncio.run(migrate(DatabaseUrl.parse(empty_database)))
    assert asyncio.run(state(empty_database)) is SchemaState.CURRENT


def test_a_role_that_may_see_little_says_what_it_sees(
    stranger: Callable[[str], str], empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = stranger(empty_database)
    run(empty_database, f"GRANT CREATE ON DATABASE {value(empty_database, 'SELECT current_database()')} TO PUBLIC")
    migrate_before("0018", url, monkeypatch, tmp_path)
    with psycopg.connect(empty_database, application_name="report") as report:
        report.execute("SELECT FROM region_tick.job_run")
        assert f" in use by process {report.info.backend_pid} (report): " in refused(url)
