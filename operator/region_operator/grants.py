"""Defines the command `region-operator grants`, which prints the SQL for the database roles. See `database.grants`."""

from __future__ import annotations

import click

from region_operator.database.grants import GrantError, Kind, write_grants
from region_operator.database.tables import REGION_INDEX
from region_operator.regions.source import Table


@click.command("grants")
@click.option("--tick-role", help="The role of the ticks (spec.tick.databaseSecret).")
@click.option("--operator-role", help="The role of the operator (DATABASE_URL).")
@click.option("--worker-role", help="The role of the workers, if there are workers. It may be that of the ticks.")
@click.option("--console-role", help="The role of the console: it only reads. It has the views too.")
@click.option("--table", default=f"public.{REGION_INDEX}", show_default=True, help="The table of regions.")
@click.option("--migrate/--no-migrate", default=True, show_default=True, help="MIGRATE, as the operator has it.")
def grants_command(table: str, migrate: bool, **names: str | None) -> None:
    """Print the SQL that gives database roles their rights, for psql. Name one role at least; each may come alone.

    The database must be migrated. Run the SQL as a superuser, or as the owner of the schema region_tick and of the
    table of regions; run it again after each upgrade. Its warnings say what gives a role more rights than it needs.
    """
    roles = {kind: name for kind in Kind if (name := names[f"{kind}_role"]) is not None}
    regions = Table.parse(table, default_schema="public")
    try:
        click.echo(write_grants(roles, schema=regions.schema, table=regions.name, migrates=migrate))
    except GrantError as error:
        raise click.UsageError(str(error)) from error
