"""The command `region-tick run`: runs a handler for a region from a laptop, as a manual run or as a dry run.

The region is read from the table of regions. A manual run is a real one, with a row in the ledger; it moves no cursor.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
from psycopg import sql

from region_tick import logs
from region_tick.contract import ExitCode, Variable
from region_tick.database_url import DatabaseUrl, DatabaseUrlError
from region_tick.dry_run import dry_run
from region_tick.environment import Environment, EnvironmentVariableError
from region_tick.run import run
from region_tick.session import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

CORNERS = ("bbox_min_lon", "bbox_min_lat", "bbox_max_lon", "bbox_max_lat")
COLUMNS = ("id", "code", "name", *CORNERS, "cron_schedule")
OPTIONAL_COLUMNS = ("params",)
_NAMED_CODES = 5


class CommandError(Exception):
    """The command cannot do what it was told. The message says what to write instead."""


def main(arguments: Sequence[str]) -> int:
    """Run the command with the arguments, and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        database = DatabaseUrl.parse(options.database or "")
        os.environ.update(_variables(options, database))  # built-in handlers read them there
        environment = Environment.read(os.environ)
    except (CommandError, DatabaseUrlError, EnvironmentVariableError) as error:
        print(f"region-tick: {error}", file=sys.stderr)
        return ExitCode.CONFIGURATION
    except psycopg.Error as error:
        print(f"region-tick: the database {database.address} cannot be asked: {error}", file=sys.stderr)
        return ExitCode.AGAIN
    if not options.dry_run:
        return run(environment)
    logs.configure(keys={"region.code": environment.region.code, "handler": environment.handler})
    return dry_run(environment)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="region-tick", description="Without arguments: runs the tick that the environment variables describe."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="run a handler for a region, once and now")
    command.add_argument("--handler", required=True, metavar="MODULE:FUNCTION", help="a built-in name works too")
    command.add_argument("--region", required=True, metavar="CODE", help="the region's code")
    command.add_argument(
        "--database", default=os.environ.get(Variable.DATABASE_URL), metavar="URL", help="default: DATABASE_URL"
    )
    command.add_argument("--dry-run", action="store_true", help="take back all that was written to the database")
    command.add_argument("--table", default="region_index", help="the table of regions (default: %(default)s)")
    command.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="FIELD=COLUMN",
        help=f"a column with another name; FIELD is one of {', '.join((*COLUMNS, *OPTIONAL_COLUMNS))}",
    )
    command.add_argument("--bbox", metavar="W,S,E,N", help="a bounding box in place of the row's")
    command.add_argument("--params", metavar="JSON", help="parameters in place of the row's, a JSON object")
    command.add_argument("--timeout", type=int, default=600, metavar="SECONDS", help="default: %(default)s")
    return parser


def _variables(options: argparse.Namespace, database: DatabaseUrl) -> dict[str, str]:
    """Return the variables of a manual run's pod. Raises CommandError and psycopg.Error."""
    schema, dot, table = options.table.rpartition(".")
    schema = schema if dot else database.schema
    row = _read_region(options, database, schema, table)
    run_id, here = uuid4().hex, socket.gethostname()
    bbox = options.bbox or ",".join(row[corner] for corner in CORNERS if row[corner])
    return {
        Variable.DATABASE_URL: options.database,
        Variable.CRONJOB_NAME: "region-tick-run",
        Variable.JOB_NAME: f"region-tick-run-by-hand-{run_id}",
        Variable.JOB_UID: run_id,
        Variable.POD_NAME: here,
        Variable.NODE_NAME: here,
        Variable.SOURCE: f"{schema}.{table}",
        Variable.INSTALLATION: "",
        Variable.HANDLER: options.handler,
        Variable.TIMEOUT_SECONDS: str(options.timeout),
        Variable.START_DEADLINE_SECONDS: "1",  # a manual run is never late
        Variable.REGION_ID: row["id"],
        Variable.REGION_CODE: row["code"],
        Variable.REGION_NAME: row["name"],
        Variable.REGION_BBOX: bbox,
        Variable.REGION_CRON: row["cron_schedule"] or "by hand",
        Variable.REGION_PARAMS: options.params or row.get("params") or "",
    }


def _read_region(options: argparse.Namespace, database: DatabaseUrl, schema: str, table: str) -> dict[str, str]:
    """Return the region's row as texts. A dry run makes a region up if there is no table."""
    columns = _columns(options.column)
    with closing(connect(database)) as connection:
        found = connection.execute("SELECT pg_catalog.to_regclass(%s)", (_quoted(schema, table),)).fetchone()
        if found is None or found[0] is None:
            if options.dry_run:
                print(f"region-tick: no table {schema}.{table}: the region is made up", file=sys.stderr)
                made_up = {"id": options.region, "code": options.region, "name": options.region}
                return dict.fromkeys(COLUMNS, "") | made_up
            raise CommandError(f"the database has no table {schema}.{table}: name the table of regions by --table")
        texts = sql.SQL(", ").join(
            sql.SQL("coalesce({}::text, '')").format(sql.Identifier(name)) for name in columns.values()
        )
        place = sql.SQL("FROM {} ").format(sql.Identifier(schema, table))
        code = sql.Identifier(columns["code"])
        try:
            select = sql.SQL("SELECT {} {} WHERE {}::text = %s LIMIT 2").format(texts, place, code)
            rows = connection.execute(select, (options.region,)).fetchall()
            if len(rows) == 1:
                return dict(zip(columns, rows[0], strict=True))
            select = sql.SQL("SELECT {}::text {} ORDER BY 1 LIMIT {}").format(code, place, _NAMED_CODES)
            codes = [str(known) for (known,) in connection.execute(select)]
        except psycopg.errors.UndefinedColumn as error:
            raise CommandError(f"{error.diag.message_primary}: name the table's column by --column") from error
    raise CommandError(
        f"{schema}.{table} has {'no row' if not rows else 'several rows'} with the code {options.region!r}; codes are "
        f"{', '.join(codes) or 'none'} ..."
    )


def _columns(named: Sequence[str]) -> dict[str, str]:
    columns = {field: field for field in COLUMNS}
    for pair in named:
        field, equals, column = pair.partition("=")
        if field not in (*COLUMNS, *OPTIONAL_COLUMNS) or not equals or not column:
            raise CommandError(
                f"--column {pair}: write FIELD=COLUMN, FIELD one of {', '.join((*COLUMNS, *OPTIONAL_COLUMNS))}"
            )
        columns[field] = column
    return columns


def _quoted(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
