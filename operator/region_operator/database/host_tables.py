"""The tables of the limits: which hosts are in trouble, which places are taken, and what was spent. See `tables`."""

from __future__ import annotations

from sqlalchemy import Column, Date, Integer, PrimaryKeyConstraint, Table, Text

from region_operator.database.columns import TIME, column, metadata, stamp, text_column, time_column
from region_tick.contract import SCHEMA

host = Table(
    "host",
    metadata,
    Column("name", Text, primary_key=True, comment="The host, with its port if that is not the usual one."),
    time_column("not_before", "Until when no request goes to the host; null: one may go at once."),
    column(
        "failures", Integer, "How many requests in a row failed. From the first on, one goes at a time.", default="0"
    ),
    text_column("failed_creator", "For whom the host answered with a failure last; null: it gave no answer at all."),
    text_column("last_error", "What went wrong last, or what the host asked for."),
    stamp("changed_at", "When the row was last changed."),
    schema=SCHEMA,
    comment="The hosts that are in trouble: left alone, or failing. Delete a row to have its host asked at once.",
)

host_place = Table(
    "host_place",
    metadata,
    column("host", Text, "The host, as in host."),
    column("number", Integer, "The number of the place, from 1 to POLL_CONCURRENCY_PER_HOST."),
    column("until", TIME, "When the place becomes free by itself: its tick or worker may have died."),
    PrimaryKeyConstraint("host", "number"),
    schema=SCHEMA,
    comment="The places at hosts that ticks and workers hold now: one for each request under way.",
)

budget = Table(
    "budget",
    metadata,
    column("platform", Text, "The platform: youtube."),
    column("account", Text, "A hash that stands for the key."),
    column("day", Date, "The day, as the platform counts days: YouTube's begin at midnight, Pacific time."),
    column("units", Integer, "The units that requests of this day took from the key's quota."),
    PrimaryKeyConstraint("platform", "account", "day"),
    schema=SCHEMA,
    comment="What ticks and workers spent of platforms' daily quotas, for 30 days.",
)
