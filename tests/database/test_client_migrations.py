"""Prisma's and Django's own migrations beside the operator's: who comes first, and what the second one leaves alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from devcluster.postgres import Postgres
from region_operator.database.default_table import RegionTable
from region_operator.database.migrate import MigrationReport, SchemaState, migrate
from region_operator.database.region_table import Trigger
from region_tick.database_url import DatabaseUrl
from tests.clients.django import manage
from tests.clients.prisma import PrismaApplication
from tests.database.notifying import state_of_triggers
from tests.database.schema import run, state, value
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGIONS = "SELECT count(*) FROM region_index"
ZONES = """
datasource db {
  provider = "postgresql"
  url      = "postgresql://the.adapter/knows"
}

model Zone {
  id   Int    @id
  name String
}
"""
REGION = """
model Region {
  id            String  @id @default(dbgenerated("gen_random_uuid()")) @db.Uuid
  code          String  @unique
  name          String
  cron_schedule String
  active        Boolean @default(true)
  bbox_min_lon  Float?
  bbox_min_lat  Float?
  bbox_max_lon  Float?
  bbox_max_lat  Float?

  @@map("region_index")
}
"""
MAKE_ZONES = 'CREATE TABLE "Zone" (id int NOT NULL, name text NOT NULL, CONSTRAINT "Zone_pkey" PRIMARY KEY (id));'


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A Postgres 17: the schema engine of Prisma 6 ends with a panic in any database of Postgres 18."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("POSTGRES", "17")
        with Postgres.temporary() as server:
            yield server


@pytest.fixture
def prisma(server: Postgres, tmp_path: Path) -> Iterator[PrismaApplication]:
    """An application with a table of its own, whose database is empty."""
    server.create_database("application")
    (tmp_path / "schema.prisma").write_text(ZONES)
    (tmp_path / "migrations/1_zones").mkdir(parents=True)
    (tmp_path / "migrations/1_zones/migration.sql").write_text(MAKE_ZONES)
    (tmp_path / "migrations/migration_lock.toml").write_text('provider = "postgresql"')
    yield PrismaApplication(tmp_path, server.url("application"))
    server.drop_database("application")


def operate(database: str, *, make_table: bool = True) -> MigrationReport:
    """Migrate as an operator does that starts."""
    return asyncio.run(migrate(DatabaseUrl.parse(database), make_table=make_table))


def deploy(prisma: PrismaApplication) -> None:
    done = prisma.prisma("migrate", "deploy")
    assert "1_zones" in done.stdout
    assert done.returncode == 0, done.stdout
    status = prisma.prisma("migrate", "status")
    assert "Database schema is up to date!" in status.stdout, status.stdout


def push(prisma: PrismaApplication, *, expected: str) -> None:
    done = prisma.prisma("db", "push", "--skip-generate", "--accept-data-loss")
    assert expected in done.stdout, done.stdout


def test_prisma_after_an_operator_that_makes_no_table(prisma: PrismaApplication) -> None:
    operate(prisma.database, make_table=False)
    deploy(prisma)
    push(prisma, expected="already in sync")
    assert asyncio.run(state(prisma.database)) is SchemaState.CURRENT


def test_prisma_before_the_operator(prisma: PrismaApplication) -> None:
    deploy(prisma)
    assert operate(prisma.database).region_table is RegionTable.BESIDE_OTHERS
    deploy_again = prisma.prisma("migrate", "deploy")
    assert "No pending migrations" in deploy_again.stdout
    push(prisma, expected="already in sync")
    assert asyncio.run(state(prisma.database)) is SchemaState.CURRENT


def test_prisma_keeps_the_table_and_its_triggers(prisma: PrismaApplication) -> None:
    (prisma.folder / "schema.prisma").write_text(ZONES + REGION)
    push(prisma, expected="now in sync")
    report = operate(prisma.database)
    assert (report.region_table, report.trigger) == (RegionTable.FOUND, Trigger.CREATED)
    add_regions(prisma.database, 3)
    push(prisma, expected="already in sync")
    (prisma.folder / "schema.prisma").write_text(ZONES + REGION.replace("Float?", "Decimal? @db.Decimal(9, 6)"))
    push(prisma, expected="now in sync")
    assert state_of_triggers(prisma.database) is Trigger.FOUND
    assert value(prisma.database, REGIONS) == 3


def test_what_prisma_does_after_an_operator_that_has_made_the_table(prisma: PrismaApplication) -> None:
    """What docs/operations.md warns of is true."""
    assert operate(prisma.database).region_table is RegionTable.CREATED
    assert "P3005" in prisma.prisma("migrate", "deploy").stdout
    push(prisma, expected="now in sync")
    assert value(prisma.database, "SELECT to_regclass('region_index')") is None
    assert operate(prisma.database).region_table is RegionTable.MISSING


def succeeds(database: str, *arguments: str) -> str:
    done = manage(database, *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("operator_first", [False, True])
def test_django_keeps_the_table_and_its_triggers(empty_database: str, operator_first: bool) -> None:
    if operator_first:
        operate(empty_database, make_table=False)
    succeeds(empty_database, "migrate")
    report = operate(empty_database)
    assert (report.region_table, report.trigger) == (RegionTable.FOUND, Trigger.CREATED)
    assert "No planned migration operations" in succeeds(empty_database, "migrate", "--plan")
    assert "No changes detected" in succeeds(empty_database, "makemigrations", "--check")
    assert "region_tick" not in succeeds(empty_database, "inspectdb")
    assert "region_tick" not in succeeds(empty_database, "sqlflush")
    assert state_of_triggers(empty_database) is Trigger.FOUND
    assert asyncio.run(state(empty_database)) is SchemaState.CURRENT


def test_django_after_an_operator_that_has_made_the_table(empty_database: str) -> None:
    """Django refuses, and goes on with the table as it is where one says so, as for any table that is there."""
    operate(empty_database)
    add_regions(empty_database, 3)
    assert 'relation "region_index" already exists' in manage(empty_database, "migrate").stdout
    succeeds(empty_database, "migrate", "--fake-initial")
    assert state_of_triggers(empty_database) is Trigger.FOUND
    run(empty_database, "UPDATE region_index SET name = 'x'")
    assert value(empty_database, REGIONS) == 3
