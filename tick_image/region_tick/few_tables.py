"""Makes the few tables that a tick needs, in a database that lacks them: for tests of handlers and for dry runs.

The tables are those of the migrations, with the same columns, keys and defaults, but without partitions, indexes and
views. A cluster's database gets its tables from `region-operator migrate`, and never from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_tick.contract import MADE_FOR_TESTS

if TYPE_CHECKING:
    import psycopg

MAKE_TABLES = f"""
CREATE SCHEMA region_tick;
COMMENT ON SCHEMA region_tick IS '{MADE_FOR_TESTS}';
CREATE TABLE region_tick.job_run (
    source text NOT NULL,
    region_id text NOT NULL,
    tick_at timestamptz NOT NULL,
    manual_uid text NOT NULL DEFAULT '',
    region_code text NOT NULL,
    cron text NOT NULL,
    handler text,
    state text NOT NULL,
    reason text,
    attempt integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    job_name text,
    pod text,
    node text,
    started_at timestamptz,
    finished_at timestamptz,
    window_start timestamptz,
    window_end timestamptz,
    counts jsonb,
    error_class text,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    counted boolean NOT NULL DEFAULT false,
    rerun_uid text,
    rerun_by text,
    exit_code integer,
    log_lines text,
    log_attempt integer,
    PRIMARY KEY (source, region_id, tick_at, manual_uid)
);
CREATE TABLE region_tick.region_cursor (
    source text NOT NULL,
    region_id text NOT NULL,
    handler text NOT NULL,
    window_start timestamptz,
    window_end timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tick_at timestamptz,
    PRIMARY KEY (source, region_id, handler)
);
CREATE TABLE region_tick.suspension (
    source text NOT NULL,
    region_id text NOT NULL,
    suspended_from timestamptz NOT NULL,
    counted_until timestamptz NOT NULL
);
CREATE TABLE region_tick.slot_owner (
    source text NOT NULL,
    slot integer NOT NULL,
    installation text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    successor text
);
"""


LOCK = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('region_tick', 0))"
"""The migrations' lock."""


def make_missing_tables(connection: psycopg.Connection) -> bool:
    """Make the tables in one transaction if the database has no schema region_tick, and return whether it had none.

    Tests that begin at the same time wait for each other. Raises psycopg.Error.
    """
    if not _is_missing(connection):
        return False
    with connection.transaction():
        connection.execute(LOCK)
        missing = _is_missing(connection)
        if missing:
            connection.execute(MAKE_TABLES.encode())
    return missing


def _is_missing(connection: psycopg.Connection) -> bool:
    """Ask the table, because after a wait to_regnamespace may answer from the session's memory."""
    found = connection.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'region_tick'")
    return found.rowcount == 0
