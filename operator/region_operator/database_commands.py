"""Defines the commands that work on the database alone, for people who have other rights there than the operator."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import click
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from region_operator.database.clock import database_now
from region_operator.database.engine import make_engine, transaction
from region_operator.database.indexes import build_indexes
from region_operator.database.migrate import MigrationError, migrate
from region_operator.database.retention import Forgotten, find_old_days, forget
from region_operator.database.tables import REGION_INDEX
from region_operator.errors import explain
from region_operator.exits import give_up, read_settings
from region_operator.plan.conditions import ReadyReason
from region_tick.contract import SCHEMA
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from region_operator.database.migrate import MigrationReport
    from region_operator.database.retention import OldDay

T = TypeVar("T")


@click.command("migrate")
@click.option("--table/--no-table", default=True, help="Whether to make region_index in a database without tables.")
def migrate_command(*, table: bool) -> None:
    """Bring the database's schema to this release.

    Exit code 0: done; 69: the database does not answer; 75: a table is in use, so run it again; 78: the environment or
    the database cannot be used.
    """
    settings = read_settings()
    report, indexes = _run(lambda: _migrate(DatabaseUrl.parse(settings.read_direct_url()), make_table=table))
    click.echo(f"schema {SCHEMA}: {report.before or 'none'} -> {report.after}")
    click.echo(f"{REGION_INDEX}: {report.region_table}, its trigger: {report.trigger}")
    click.echo(f"partitions of job_run: {len(report.partitions)} made")
    click.echo(f"indexes of job_run's partitions: {len(indexes)} built")


@click.command("retention")
@click.option("--now", is_flag=True, help="Delete the old days, all of them at once.")
def retention_command(now: bool) -> None:
    """List the days of job_run that are older than RETENTION_DAYS, by the database's clock; with --now delete them.

    The operator deletes two such days a day. A day stays while one of its rows was made within RETENTION_DAYS.

    Exit code 0: done; 69: the database does not answer; 75: job_run is in use, so the rest is for later; 78: the
    environment or the database cannot be used.
    """
    settings = read_settings()
    retention = timedelta(days=settings.retention_days)
    time, days, forgotten = _run(
        lambda: _forget(DatabaseUrl.parse(settings.read_direct_url()), retention=retention, delete=now)
    )
    click.echo(f"the database's time: {time:%Y-%m-%d %H:%M:%S}Z")
    click.echo(f"days of job_run before {(time - retention).date()}: {_list(days)}")
    if forgotten:
        click.echo(f"deleted: {_list(forgotten.dropped)}")
        click.echo(f"kept, because rows were made since: {_list(forgotten.kept)}")


def _run(work: Callable[[], Awaitable[T]]) -> T:
    """Do `work` and return its result. If the work fails for an outside reason, print the reason and exit."""

    async def run() -> T:
        return await work()

    try:
        return asyncio.run(run())
    except MigrationError as error:
        in_use = isinstance(error.__cause__, DBAPIError) and isinstance(error.__cause__.orig, errors.LockNotAvailable)
        give_up(os.EX_TEMPFAIL if in_use else os.EX_CONFIG, str(error))
    except Exception as error:
        if isinstance(error, DBAPIError) and isinstance(error.orig, errors.LockNotAvailable):
            give_up(os.EX_TEMPFAIL, "job_run is in use for long, pg_stat_activity says by whom: run it again later")
        failure = explain(error)
        if failure is None:
            raise
        away = failure.reason is ReadyReason.DATABASE_UNAVAILABLE
        give_up(os.EX_UNAVAILABLE if away else os.EX_CONFIG, str(failure))


async def _migrate(url: DatabaseUrl, *, make_table: bool) -> tuple[MigrationReport, list[str]]:
    """Migrate, then build the indexes that partitions lack. Return the report and the names of the indexes."""
    report = await migrate(url, make_table=make_table)
    engine = make_engine(url)
    try:
        return report, await build_indexes(engine)
    finally:
        await engine.dispose()


async def _forget(
    url: DatabaseUrl, *, retention: timedelta, delete: bool
) -> tuple[datetime, list[OldDay], Forgotten | None]:
    """Return the database's time (UTC), the old days, and what became of them if they were to be deleted."""
    engine = make_engine(url)
    try:
        async with transaction(engine) as connection:
            now = await database_now(connection)
        before = (now - retention).date()
        days = await find_old_days(engine, before=before)
        return now, days, await forget(engine, before=before, at_most=len(days)) if delete else None
    finally:
        await engine.dispose()


def _list(days: Sequence[OldDay]) -> str:
    return ", ".join(map(str, days)) or "none"
