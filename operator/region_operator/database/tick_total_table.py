"""The tables that ended ticks are counted in, for metrics and console. See `tables`, and `ledger.tick_totals`."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Double, PrimaryKeyConstraint, Table, Text, text

from region_operator.database.columns import TIME, column, metadata, source
from region_tick.contract import SCHEMA

tick_total = Table(
    "tick_total",
    metadata,
    source(),
    column("installation", Text, "The installation that counted them, as in slot_owner."),
    column("state", Text, "The state that they ended in."),
    column("reason", Text, "The reason of their rows."),
    column("ticks", BigInteger, "How many ticks ended so, since the table was made."),
    column("delays", ARRAY(BigInteger), "How many were claimed how late, by the buckets of the metric."),
    column("delay_seconds", Double, "The seconds from their minutes to their claims, altogether."),
    column("durations", ARRAY(BigInteger), "How many took how long, by the buckets of the metric."),
    column("duration_seconds", Double, "The seconds from their claims to their ends, altogether."),
    PrimaryKeyConstraint("source", "installation", "state", "reason"),
    CheckConstraint(text("ticks >= 0"), name="ticks"),
    schema=SCHEMA,
    comment="How many ticks ended in which state, for the metrics. No row of job_run is counted twice.",
)

tick_hour = Table(
    "tick_hour",
    metadata,
    source(),
    column("installation", Text, "The installation that counted them, as in slot_owner."),
    column(
        "hour", TIME, "The hour (UTC) of the ticks' minutes; of ticks of a suspended region, when they were counted."
    ),
    column("state", Text, "The state that they ended in."),
    column("reason", Text, "The reason of their rows."),
    column("ticks", BigInteger, "How many ticks of the hour ended so."),
    PrimaryKeyConstraint("source", "installation", "hour", "state", "reason"),
    CheckConstraint(text("ticks >= 0"), name="ticks"),
    schema=SCHEMA,
    comment="How many ticks of each hour ended in which state: the counts of the console. Kept as long as job_run.",
)
