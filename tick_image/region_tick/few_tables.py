"""Makes the few tables that a tick needs, in a database that lacks them: for tests of handlers and for dry runs.

The tables are those of the migrations, with the same columns, keys and defaults, but without partitions, indexes and
views. A cluster's database gets its tables from `region-operator migrate`, and never from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

MAKE_TABLES = """
CREATE SCHEMA region_tick;
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


def make_missing_tables(connection: psycopg.Connection) -> bool:
    """Make the tables in one statement if the database has no schema region_tick, and return whether it had none.

    Raises psycopg.Error.
    """
    row = connection.execute("SELECT pg_catalog.to_regnamespace('region_tick') IS NULL").fetchone()
    missing = bool(row and row[0])
    if missing:
        connection.execute(MAKE_TABLES)
    return missing
