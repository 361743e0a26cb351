"""The tables: the user's region_index as it is by default, and our own in the schema region_tick.

These are what queries are written against; what is in a database was made by the migrations, and a test holds the two
together. Every time is a timestamptz, and by default the database's own clock. `source` is the qualified name of the
table of regions, e.g. public.region_index.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from region_tick.contract import SCHEMA, State

REGION_INDEX = "region_index"
"""The name, by default, of the table of regions."""

metadata = MetaData(
    naming_convention={  # the names that Postgres gives by itself
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

_NOW = text("clock_timestamp()")
_OPEN = text("state IN ({})".format(", ".join(f"'{state}'" for state in State if not state.final)))


def _time(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _stamp(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=_NOW)


region_index = Table(
    REGION_INDEX,
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("code", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("bbox_min_lon", Numeric(9, 6)),
    Column("bbox_min_lat", Numeric(9, 6)),
    Column("bbox_max_lon", Numeric(9, 6)),
    Column("bbox_max_lat", Numeric(9, 6)),
    Column("cron_schedule", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    _stamp("created_at"),
    _stamp("updated_at"),
    schema="public",
)
"""The user's table by default; `spec.source.columns` may map other names, and the URL another schema."""

job_run = Table(
    "job_run",
    metadata,
    Column("source", Text, nullable=False),
    Column("region_id", Text, nullable=False),
    _time("tick_at", nullable=False),
    Column("manual_uid", Text, nullable=False, server_default=text("''")),
    Column("region_code", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("handler", Text),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    _time("lease_until"),
    Column("job_name", Text),
    Column("pod", Text),
    Column("node", Text),
    _time("started_at"),
    _time("finished_at"),
    _time("window_start"),
    _time("window_end"),
    Column("counts", JSONB),
    Column("error_class", Text),
    Column("error_message", Text),
    _stamp("created_at"),
    PrimaryKeyConstraint("source", "region_id", "tick_at", "manual_uid"),
    CheckConstraint(text("state IN ({})".format(", ".join(f"'{state}'" for state in State))), name="state"),
    CheckConstraint(text("attempt >= 0"), name="attempt"),
    schema=SCHEMA,
    postgresql_partition_by="RANGE (tick_at)",
)
"""The ledger, one row a tick, in partitions of one UTC day each.

`manual_uid` is the Job's uid for a manual run, else empty; `cron` the schedule that was in force; `attempt` the
number of claims, 0 where none was made; the window is what the handler fetched for. The key serves whoever looks for
a region's latest.
"""

job_run_open = Index("job_run_open", job_run.c.tick_at, postgresql_where=_OPEN)
"""Finds the few rows that are not final. It leaves lease_until out, so that renewing a lease touches no index."""

region_cursor = Table(
    "region_cursor",
    metadata,
    Column("source", Text, nullable=False),
    Column("region_id", Text, nullable=False),
    Column("handler", Text, nullable=False),
    _time("window_start"),
    _time("window_end", nullable=False),
    _stamp("updated_at"),
    PrimaryKeyConstraint("source", "region_id", "handler"),
    schema=SCHEMA,
)
"""How far a region was fetched by a handler: the last window that carried it on. Without a row it is fetched from the
beginning; a tick that works while somebody sets `window_end` back does not undo that.
"""

region_schedule = Table(
    "region_schedule",
    metadata,
    Column("source", Text, nullable=False),
    Column("region_id", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("code", Text, nullable=False),
    _time("valid_from", nullable=False),
    _time("valid_to"),
    Column("cronjob", Text, nullable=False),
    Column("start_deadline_seconds", Integer, nullable=False),
    Column("suspended", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("source", "region_id", "valid_from"),
    CheckConstraint(text("valid_to > valid_from"), name="valid"),
    schema=SCHEMA,
)
"""Which schedule was in force, as a CronJob, after when and up to when (null: still is): the ledger's ground.

`suspended`: its ticks are expected, but no Job is made for them. The first tick is the first strictly after
`valid_from`, as the CronJob controller has it.
"""

region_schedule_current = Index(
    "region_schedule_current",
    region_schedule.c.source,
    region_schedule.c.region_id,
    unique=True,
    postgresql_where=text("valid_to IS NULL"),
)
"""At most one schedule of a region is in force."""

ledger = Table(
    "ledger",
    metadata,
    Column("source", Text, primary_key=True),
    _time("accounted_until", nullable=False),
    Column("scheduler", Text),
    schema=SCHEMA,
)
"""Up to when every expected tick of a source has its row, and which RegionScheduler (its uid) accounts for it: the last
that wrote down its schedules, whether or not it still reads that table.
"""

creator = Table(
    "creator",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("region_id", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("handle", Text),
    Column("url", Text),
    Column("etag", Text),
    Column("last_modified", Text),
    _time("not_before"),
    _stamp("created_at"),
    _stamp("updated_at"),
    Column("platform_id", Text),
    _time("last_polled_at"),
    Column("last_error", Text),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("source", "region_id", "platform", "handle"),
    UniqueConstraint("source", "region_id", "platform", "url"),
    CheckConstraint(text("handle IS NOT NULL OR url IS NOT NULL"), name="address"),
    schema=SCHEMA,
)
"""Whom a region polls, by handle or url, and what the last answer said.

`last_modified` is the header as it came, `not_before` its Retry-After, `platform_id` what the platform calls what is
asked for, `failures` how many refusals there were in a row. When the address is edited, a trigger empties all of that
and sets `updated_at`.
"""

item = Table(
    "item",
    metadata,
    Column("creator_id", BigInteger, ForeignKey(creator.c.id, ondelete="CASCADE"), nullable=False),
    Column("item_id", Text, nullable=False),
    Column("url", Text),
    Column("title", Text),
    _time("published_at"),
    _stamp("first_seen_at"),
    PrimaryKeyConstraint("creator_id", "item_id"),
    schema=SCHEMA,
)
"""What creators published, as it was when it was first seen; `item_id` is the platform's."""

compatibility = Table(
    "compatibility",
    metadata,
    Column("min_reader", Text, nullable=False),
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    CheckConstraint(text("only_row"), name="only_row"),
    schema=SCHEMA,
)
"""Which release may use the schema at least."""
