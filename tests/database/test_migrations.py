"""Databases of every kind are brought to the schema of this release, once, whoever asks and however often."""

from __future__ import annotations

import asyncio
import shutil
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from region_operator.database.default_table import RegionTable
from region_operator.database.migrate import MigrationError, SchemaState, migrate, newest_revision
from region_operator.database.region_table import Trigger
from region_tick.database_url import DatabaseUrl
from tests.database.notifying import make_triggers, state_of_triggers
from tests.database.schema import run, state, value
from tests.harness.regions import ROW_TRIGGER

if TYPE_CHECKING:
    from collections.abc import Callable


DAYS = 15
TODAY = date(2030, 1, 1)
"""For two migrations in a row: midnight may come between them, and brings a partition."""


async def test_an_empty_database(empty_database: str) -> None:
    assert await state(empty_database) is SchemaState.MISSING
    report = await migrate(DatabaseUrl.parse(empty_database))
    assert (report.before, report.region_table, report.trigger) == (None, RegionTable.CREATED, Trigger.CREATED)
    assert len(report.partitions) == DAYS
    assert await state(empty_database) is SchemaState.CURRENT


async def test_a_second_migration_changes_nothing(database: str) -> None:
    await migrate(DatabaseUrl.parse(database), today=TODAY)
    last_write = "SELECT max(xmin::text::bigint) FROM pg_class"
    before = value(database, last_write)
    report = await migrate(DatabaseUrl.parse(database), today=TODAY)
    assert (report.before, report.region_table, report.trigger) == (report.after, RegionTable.FOUND, Trigger.FOUND)
    assert report.partitions == []
    assert value(database, last_write) == before


async def test_concurrent_migrations_wait_for_each_other(empty_database: str) -> None:
    reports = await asyncio.gather(*(migrate(DatabaseUrl.parse(empty_database), today=TODAY) for _ in range(4)))
    assert sorted(report.before is None for report in reports) == [False, False, False, True]
    assert sorted(len(report.partitions) for report in reports) == [0, 0, 0, DAYS]


@pytest.fixture
def next_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """One revision more, as the next release may have it, made by calling this with a statement of it."""

    def write(statement: str) -> None:
        revision = REVISION.format(newest=newest_revision(), statement=statement)
        shutil.copytree(files("region_operator.database") / "migrations", tmp_path / "migrations")  # type: ignore[arg-type]
        (tmp_path / "migrations/versions/9999_next.py").write_text(revision)
        monkeypatch.setattr("region_operator.database.migrate.MIGRATIONS", tmp_path / "migrations")

    return write


REVISION = """
from alembic import op
revision, down_revision = "9999", {newest!r}
def upgrade() -> None:
    op.execute("CREATE TABLE region_tick.next ()")
    op.execute({statement!r})
"""


async def test_an_older_schema(database: str, next_revision: Callable[[str], None]) -> None:
    run(database, "ALTER TABLE region_index RENAME TO away")
    before = newest_revision()
    next_revision("SELECT 1")
    assert await state(database) is SchemaState.OLDER
    report = await migrate(DatabaseUrl.parse(database))
    assert (report.before, report.after, report.region_table) == (before, "9999", RegionTable.MISSING)
    assert await state(database) is SchemaState.CURRENT


async def test_a_failed_migration_leaves_nothing(empty_database: str, next_revision: Callable[[str], None]) -> None:
    next_revision("SELECT 1 / 0")
    with pytest.raises(MigrationError, match=r"migration to revision 9999 failed, and changed nothing: division by"):
        await migrate(DatabaseUrl.parse(empty_database))
    assert await state(empty_database) is SchemaState.MISSING
    assert value(empty_database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'region_tick'") == 0


@pytest.mark.parametrize("deadlock_timeout", ["1s", "2s"])
async def test_an_autovacuum_that_is_in_the_way_is_waited_for_until_postgres_cancels_it(
    database: str, next_revision: Callable[[str], None], deadlock_timeout: str
) -> None:
    """Postgres does so for whoever has waited for deadlock_timeout (storage/lmgr/proc.c, ProcSleep)."""
    run(
        database,
        f"ALTER DATABASE {value(database, 'SELECT current_database()')} SET deadlock_timeout = '{deadlock_timeout}'",
    )
    longer = "current_setting('lock_timeout')::interval > current_setting('deadlock_timeout')::interval"
    next_revision(f"SELECT 1 / ({longer} AND current_setting('lock_timeout')::interval < '3s')::int")
    await migrate(DatabaseUrl.parse(database))
    assert await state(database) is SchemaState.CURRENT


async def test_a_newer_schema(database: str) -> None:
    run(database, "UPDATE region_tick.alembic_version SET version_num = 'of the future'")
    assert await state(database) is SchemaState.NEWER
    with pytest.raises(MigrationError, match=r"revision of the future.*run a newer release"):
        await migrate(DatabaseUrl.parse(database))


async def test_without_any_right(stranger: Callable[[str], str], empty_database: str) -> None:
    url = stranger(empty_database)
    with pytest.raises(MigrationError, match=r"may not make the schema region_tick.*Grant it CREATE") as caught:
        await migrate(DatabaseUrl.parse(url))
    assert url.partition("@")[0] not in str(caught.value)
    assert await state(url) is SchemaState.MISSING


OLD_TRIGGER = (
    "CREATE TRIGGER region_tick_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {}"
    " FOR EACH STATEMENT EXECUTE FUNCTION region_tick.notify_change()"
)
"""What release 0.1 made on each table of regions."""
TRIGGERS = "SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = '{}'::regclass"
OURS = f"{ROW_TRIGGER} region_tick_notify_truncate"


@pytest.fixture
def at_0007(empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of a database as the release before 0008 left it, with region_index and a table of the user's own."""
    older = tmp_path / "older"
    shutil.copytree(files("region_operator.database") / "migrations", older)  # type: ignore[arg-type]
    for revision in (older / "versions").glob("[0-9]*.py"):
        if revision.name > "0008":
            revision.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("region_operator.database.migrate.MIGRATIONS", older)
        asyncio.run(migrate(DatabaseUrl.parse(empty_database)))
    run(
        empty_database,
        f"DROP TRIGGER {ROW_TRIGGER} ON region_index",
        "DROP TRIGGER region_tick_notify_truncate ON region_index",
        "CREATE TABLE areas (LIKE region_index)",
        *(OLD_TRIGGER.format(table) for table in ("region_index", "areas")),
    )
    return empty_database


def test_the_trigger_of_an_older_release_is_replaced(at_0007: str) -> None:
    report = asyncio.run(migrate(DatabaseUrl.parse(at_0007)))
    assert (report.before, report.trigger) == ("0007", Trigger.CREATED)
    assert value(at_0007, TRIGGERS.format("region_index")) == OURS
    assert value(at_0007, TRIGGERS.format("areas")) == "region_tick_notify"  # a migration does not know of it
    assert state_of_triggers(at_0007, table="areas") is Trigger.STATEMENT
    assert make_triggers(at_0007, table="areas") is Trigger.CREATED
    assert value(at_0007, TRIGGERS.format("areas")) == OURS


def test_a_trigger_that_an_older_release_makes_again_goes_again(database: str) -> None:
    """While both releases run, the old one makes its trigger whenever it leads. Nothing is told twice meanwhile."""
    run(database, OLD_TRIGGER.format("region_index"))
    assert state_of_triggers(database) is Trigger.STATEMENT
    assert make_triggers(database) is Trigger.CREATED
    assert value(database, TRIGGERS.format("region_index")) == OURS


def test_a_revision_is_known_by_its_file() -> None:
    config = Config()
    config.set_main_option("script_location", "region_operator.database:migrations")
    scripts = ScriptDirectory.from_config(config)
    revisions = {Path(script.path).name: script.revision for script in scripts.walk_revisions()}
    assert {name: name.partition("_")[0] for name in revisions} == revisions
    assert newest_revision() == scripts.get_current_head()
