"""The tables that say which installation owns which part of a table of regions. See `tables`."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from region_operator.database.columns import column, metadata, source, stamp, text_column, time_column
from region_tick.contract import SCHEMA

slot_owner = Table(
    "slot_owner",
    metadata,
    source(),
    column("slot", Integer, "The slot, 0 to 255: the first byte of the SHA-256 of a region's id."),
    column("installation", Text, "The installation that owns the slot: INSTALLATION, or the uid of its namespace."),
    stamp("since", "Since when. A later tick is refused to everybody else, but for the successor."),
    column("epoch", BigInteger, "How many owners the slot has had. A new owner must know it.", default="1"),
    column("offered", Boolean, "Whether another shard may take the slot over without being asked.", default="false"),
    text_column("successor", "The installation that makes the CronJobs now, and then becomes the owner."),
    time_column("accounted_until", "The slot's own account, while it differs from its owner's; null: it does not."),
    PrimaryKeyConstraint("source", "slot"),
    CheckConstraint(text("slot >= 0 AND slot < 256"), name="slot"),
    schema=SCHEMA,
    comment="Which installation owns which part of a table of regions, and ticks and accounts for it.",
)

installation = Table(
    "installation",
    metadata,
    source(),
    column("installation", Text, "The installation's name, as in slot_owner."),
    column("namespace", Text, "The namespace that it works in."),
    stamp("seen_at", "When it last looked at everything."),
    column("interval_seconds", Double, "How often it does that: spec.refreshInterval."),
    column("took_over", ARRAY(Text), "The names in the annotation of its last take-over.", default="'{}'"),
    stamp("accounted_until", "Up to then every expected tick of its slots has its row in job_run, or is suspended."),
    PrimaryKeyConstraint("source", "installation"),
    schema=SCHEMA,
    comment="When each installation that owned a part of a table of regions was last seen.",
)
