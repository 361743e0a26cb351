"""Writes the descriptions of our tables, views and functions into the database (COMMENT ON). psql shows them with \\d+.

The descriptions of the tables stand in `tables`, those of the functions that tell of changed rows in `row_trigger`, all
other descriptions stand here. The revisions contain no descriptions: a released revision never changes, but a
description is improved whenever a reader stumbles. So each migration compares the descriptions in the database with
this release's, and writes every description that differs. Nothing depends on a description: if the server refuses the
descriptions, the log says so and the migration goes on. The user's region_index gets no descriptions, because tools
that compare the table with a model would report a difference.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from region_operator.database.tables import creator, item, job_run, metadata, upstream_item
from region_tick.contract import CHANGES_CHANNEL, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

log = logging.getLogger(__name__)

_REFUSED = (errors.InsufficientPrivilege, errors.LockNotAvailable, errors.ReadOnlySqlTransaction)

_FOUND = text("""
WITH relation AS (
    SELECT oid, relname, relnamespace, CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind
    FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind IN ('r', 'p', 'v')
)
SELECT relname AS name, '' AS part, format('%s %s.%I', kind, relnamespace::regnamespace, relname) AS target,
    obj_description(oid, 'pg_class') AS said
FROM relation
UNION ALL
SELECT relname, attname, format('COLUMN %s.%I.%I', relnamespace::regnamespace, relname, attname),
    col_description(oid, attnum)
FROM relation JOIN pg_attribute ON attrelid = oid AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT proname, '()', format('FUNCTION %s', oid::regprocedure), obj_description(oid, 'pg_proc')
FROM pg_proc WHERE pronamespace = CAST(:schema AS regnamespace)
""")
"""Finds everything that can have a description, and the present description. `part` is empty for a table or view, the
column's name for a column, and "()" for a function.
"""


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a table or view, and the descriptions of the columns by name."""

    text: str
    columns: Mapping[str, str]

    @classmethod
    def of(cls, table: Table) -> Self:
        """Return the descriptions that stand in `tables`."""
        return cls(table.comment or "", {column.name: column.comment or "" for column in table.columns})


TABLES = {table.name: Description.of(table) for table in metadata.tables.values() if table.schema == SCHEMA} | {
    "alembic_version": Description(
        "At which revision this schema is; region-operator migrate brings it further.",
        {"version_num": "The revision's number."},
    )
}

_OF_RUN = {name: column.comment or "" for name, column in job_run.columns.items()}
_DAY = "The UTC day of tick_at."
_OF_CREATOR = {name: column.comment or "" for name, column in creator.columns.items()}
_OF_ITEM = {name: column.comment or "" for name, column in (upstream_item.columns.items() + item.columns.items())}

VIEWS = {
    "runs": Description(
        "The ledger as people read it: job_run with durations, and one line for each suspension. Sum ticks to count.",
        {name: _OF_RUN[name] for name in ("source", "region_id", "region_code")}
        | {
            "tick_at": f"{_OF_RUN['tick_at']} Of a suspension, its first tick.",
            "manual": "Whether somebody started the run by hand, e.g. by kubectl create job --from.",
        }
        | {name: _OF_RUN[name] for name in ("state", "reason", "attempt", "started_at", "finished_at")}
        | {"duration": "How long the latest attempt took; null while it runs."}
        | {
            name: _OF_RUN[name]
            for name in (
                *("cron", "handler", "window_start", "window_end", "counts"),
                *("error_class", "error_message", "job_name", "pod", "node"),
            )
        }
        | {
            "ticks": "How many ticks the line stands for: 1, or all that a suspension skipped.",
            "last_tick_at": "The last of these ticks.",
        }
        | {name: _OF_RUN[name] for name in ("rerun_uid", "rerun_by", "exit_code", "log_lines", "log_attempt")},
    ),
    "last_success": Description(
        "The last success of each region that has a schedule; manual runs do not count.",
        {name: _OF_RUN[name] for name in ("source", "region_id")}
        | {
            "region_code": "The region's code.",
            "suspended": "Whether the region is suspended now.",
            "tick_at": "The tick that succeeded last, of those that carried the cursor on.",
            "finished_at": "When that tick ended; null: no tick has succeeded.",
        },
    ),
    "recent_failures": Description(
        "The ticks of the last hour that failed or were missed.",
        {
            name: _OF_RUN[name]
            for name in (
                *("source", "region_id", "region_code", "tick_at", "state", "reason", "error_class", "error_message"),
                *("finished_at", "job_name", "node"),
            )
        },
    ),
    "missed_by_cause": Description(
        "How many ticks were missed, by day and cause.",
        {
            "source": _OF_RUN["source"],
            "day": _DAY,
            "reason": "Why the ticks were missed.",
            "ticks": "How many ticks.",
            "regions": "Of how many regions.",
        },
    ),
    "durations_by_day": Description(
        "How long runs took, by day, from a sample of the rows: all rows of up to 16 MB, else as much, spread evenly.",
        {
            "source": _OF_RUN["source"],
            "day": _DAY,
            "sampled": "How many runs of the day the sample has.",
            "p50": "Half of the runs took no longer.",
            "p95": "19 of 20 runs took no longer.",
        },
    ),
    "items": Description(
        "What each region got, each item once. Follow it by seq, or listen to region_tick_items.",
        {"seq": _OF_ITEM["seq"]}
        | {name: _OF_CREATOR[name] for name in ("source", "region_id")}
        | {
            "region_code": "The region's code; null where the region has no CronJob.",
            "creator_id": "The row of creator that the item belongs to.",
            "platform": "The platform that had the item.",
            "handle": "The creator's name there.",
            "creator_url": "The creator's address; url is the item's own.",
        }
        | {
            name: _OF_ITEM[name]
            for name in (
                *("item_id", "url", "title", "author", "summary", "raw"),
                *("published_at", "first_seen_at", "backlog"),
            )
        },
    ),
    "creators_without_region": Description(
        "The creators that nobody polls: their source and region_id are those of no region that has a CronJob.",
        {"creator_id": "The id in creator."}
        | {name: _OF_CREATOR[name] for name in ("source", "region_id", "platform", "handle", "url", "created_at")},
    ),
}

FUNCTIONS = {
    "notify_change": f"A trigger of tables of regions: tells the channel {CHANGES_CHANNEL} that one was written to.",
    "forget_polls": "A trigger of creator: empties what is known of a creator whose address is edited.",
}


async def ensure_comments(connection: AsyncConnection) -> None:
    """Write the descriptions that differ from this release's. Write nothing if all are the same."""
    wanted = {(name, "()"): said for name, said in FUNCTIONS.items()}
    for name, description in (TABLES | VIEWS).items():
        wanted[name, ""] = description.text
        wanted |= {(name, column): said for column, said in description.columns.items()}
    statements = [
        f"COMMENT ON {row.target} IS {_literal(wanted[row.name, row.part])}"
        for row in await connection.execute(_FOUND, {"schema": SCHEMA})
        if wanted.get((row.name, row.part), row.said) != row.said
    ]
    if not statements:
        return
    try:
        async with connection.begin_nested():
            await connection.exec_driver_sql("; ".join(statements), execution_options={"no_parameters": True})
    except DBAPIError as error:
        if not isinstance(error.orig, _REFUSED):
            raise
        log.info("comments not written", extra={"reason": str(error.orig)})


def _literal(said: str) -> str:
    return "'" + said.replace("'", "''") + "'"
