"""The tables: the user's region_index as it is by default, and our own in the schema region_tick.

The tables of the handler `poll` are in `poll_tables` and `host_tables`. Queries use these definitions. The migrations
make the tables in a database. A test checks that both agree. The description of each table and column stands here and
nowhere else: `comments` writes the descriptions into the database. Every time is a timestamptz; a default time comes
from the database's own clock.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from region_operator.database.columns import (
    TIME,
    column,
    degrees,
    region_id,
    source,
    stamp,
    text_column,
    time_column,
)
from region_operator.database.columns import metadata as metadata
from region_operator.database.host_tables import budget as budget
from region_operator.database.host_tables import host as host
from region_operator.database.host_tables import host_place as host_place
from region_operator.database.owner_tables import installation as installation
from region_operator.database.owner_tables import slot_owner as slot_owner
from region_operator.database.poll_tables import creator as creator
from region_operator.database.poll_tables import item as item
from region_operator.database.poll_tables import seen as seen
from region_operator.database.poll_tables import upstream as upstream
from region_operator.database.poll_tables import upstream_item as upstream_item
from region_operator.database.tick_total_table import tick_hour as tick_hour
from region_operator.database.tick_total_table import tick_total as tick_total
from region_tick.contract import SCHEMA, State

REGION_INDEX = "region_index"
"""The default name of the table of regions."""

_OPEN = text("state IN ({})".format(", ".join(f"'{state}'" for state in State if not state.final)))
_FINAL = text("state IN ({})".format(", ".join(f"'{state}'" for state in State if state.final)))

region_index = Table(
    REGION_INDEX,
    metadata,
    column("id", Uuid, "Says which region it is: another id is another region.", default="gen_random_uuid()"),
    column("code", Text, "The region's short name; its CronJob is named after it."),
    column("name", Text, "The region's name for people."),
    degrees("bbox_min_lon", "The western edge of the region's box: the longitude, positive in the east"),
    degrees("bbox_min_lat", "The southern edge of the region's box: the latitude, positive in the north"),
    degrees("bbox_max_lon", "The eastern edge of the region's box: the longitude, positive in the east"),
    degrees("bbox_max_lat", "The northern edge of the region's box: the latitude, positive in the north"),
    column("cron_schedule", Text, "When the region ticks: five fields of cron, in UTC. H is a hash of the code."),
    column("active", Boolean, "Whether the region ticks. A region that does not tick has no CronJob.", default="true"),
    stamp("created_at", "When the row was made."),
    stamp("updated_at", "When the row was last changed, as far as whoever changes it says so: no trigger does."),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("code"),
    schema="public",
    comment="Which regions there are and when each one ticks. Edit it: the operator follows it.",
)
"""The user's table, by default. `spec.source.columns` may name other columns, and the database's URL another schema."""

job_run = Table(
    "job_run",
    metadata,
    source(),
    region_id(),
    column("tick_at", TIME, "The minute that the tick was scheduled for; of a manual run, of its first claim."),
    column("manual_uid", Text, "The uid of a manual run's Job; empty for a scheduled tick.", default="''"),
    column("region_code", Text, "The region's code, as the tick's CronJob had it."),
    column("cron", Text, "The schedule in force, in UTC."),
    text_column("handler", "The name of the tick's handler; null in a row that the operator wrote."),
    column("state", Text, f"{', '.join(State)}; the last four are final."),
    text_column("reason", "Why the row is in its state, e.g. ok, late, timeout or capacity; null while it runs."),
    column("attempt", Integer, "How many times the tick was claimed to be run; 0 where it never ran.", default="0"),
    time_column("lease_until", "Until when the latest attempt has the tick to itself, unless the attempt renews this."),
    text_column("job_name", "The name of the tick's Kubernetes Job, also where that was never made."),
    text_column("pod", "The name of the latest attempt's pod."),
    text_column("node", "The name of the node that the pod ran on."),
    time_column("started_at", "When the latest attempt began."),
    time_column("finished_at", "When the latest attempt ended, or the operator wrote the row; null while it runs."),
    time_column("window_start", "From when on the handler was to fetch; null: from the beginning."),
    time_column("window_end", "Up to when the handler was to fetch; after a success, up to when it did."),
    Column("counts", JSONB, comment='What the handler counted, by names of its own, e.g. {"items": 3}.'),
    text_column("error_class", "The Python class of the error that ended the latest attempt."),
    text_column(
        "error_message", "What that error said; of a tick that is late or left no row, what is known of the cause."
    ),
    stamp("created_at", "When the row was made: by the first claim, or by the operator."),
    column("counted", Boolean, "Whether tick_total counts the end of the tick.", default="false"),
    text_column("rerun_uid", "The uid of the Job that ran the tick again, long after its time; null: none did."),
    text_column("rerun_by", "Who asked for that, in their own words: nobody checks it."),
    Column(
        "exit_code",
        Integer,
        comment="The exit code of the latest attempt's process; null: it has none, or nobody saw it.",
    ),
    text_column(
        "log_lines",
        "The last log lines of the latest failed attempt that kept some, if spec.tick.failedLogLines is set.",
    ),
    Column("log_attempt", Integer, comment="Which attempt log_lines are of; null: there are none."),
    PrimaryKeyConstraint("source", "region_id", "tick_at", "manual_uid"),
    CheckConstraint(text("state IN ({})".format(", ".join(f"'{state}'" for state in State))), name="state"),
    CheckConstraint(text("attempt >= 0"), name="attempt"),
    schema=SCHEMA,
    postgresql_partition_by="RANGE (tick_at)",
    comment="The ledger: one row for each tick, also for one that never ran. A partition holds one UTC day of tick_at.",
)
"""The primary key also serves queries for the latest rows of a region."""

job_run_open = Index("job_run_open", job_run.c.tick_at, postgresql_where=_OPEN)
"""Finds the few rows that are not final. The index leaves lease_until out, so that renewing a lease touches no index.
"""

job_run_ended = Index(
    "job_run_ended",
    job_run.c.finished_at,
    postgresql_where=text("started_at IS NOT NULL AND finished_at - tick_at > '00:01:00'::interval"),
)
"""Finds the runs that may have been in the way of the region's next tick, by their end. Most runs end sooner."""

job_run_failed = Index(
    "job_run_failed",
    job_run.c.finished_at,
    postgresql_where=text("state IN ('failed', 'missed')"),
    postgresql_include=["source", "region_id", "tick_at", "state", "reason"],
)
"""Finds what went wrong lately, for the view recent_failures, and counts what was missed, for missed_by_cause."""

job_run_uncounted = Index(
    "job_run_uncounted", job_run.c.tick_at, postgresql_where=text(f"NOT counted AND {_FINAL.text}")
)
"""Finds the rows that tick_total does not count yet."""

region_cursor = Table(
    "region_cursor",
    metadata,
    source(),
    region_id(),
    column("handler", Text, "The name of the handler."),
    time_column("window_start", "The beginning of the last window that carried the cursor on; null: all time."),
    column("window_end", TIME, "Up to when all was fetched. Set it back to have it fetched again from there."),
    stamp("updated_at", "When a tick last carried the cursor on."),
    time_column("tick_at", "Which tick did that; null: a tick of an older release."),
    PrimaryKeyConstraint("source", "region_id", "handler"),
    schema=SCHEMA,
    comment="How far each region was fetched by each handler. A region without a row is fetched from the beginning.",
)
"""If somebody sets `window_end` back while a tick works, the tick leaves the new `window_end` as it is."""

region_schedule = Table(
    "region_schedule",
    metadata,
    source(),
    region_id(),
    column("cron", Text, "The schedule, in UTC."),
    column("code", Text, "The region's code then."),
    column("valid_from", TIME, "After when it was in force: the first tick is the first one strictly later."),
    time_column("valid_to", "Up to when it was in force, that moment included; null: it still is."),
    column("cronjob", Text, "The name of the CronJob that had it."),
    column("start_deadline_seconds", Integer, "How late a tick could start, in seconds after its minute."),
    column("suspended", Boolean, "Whether the CronJob was suspended: its ticks are skipped.", default="false"),
    text_column("suspended_by", "What suspended the CronJob, and who; null: not suspended, or not known."),
    PrimaryKeyConstraint("source", "region_id", "valid_from"),
    CheckConstraint(text("valid_to > valid_from"), name="valid"),
    schema=SCHEMA,
    comment="Which schedule was in force for each region, and when, as its CronJob had it: which ticks to expect.",
)

region_schedule_current = Index(
    "region_schedule_current",
    region_schedule.c.source,
    region_schedule.c.region_id,
    unique=True,
    postgresql_where=text("valid_to IS NULL"),
)
"""A region has at most one current schedule version."""

region_schedule_code = Index("region_schedule_code", region_schedule.c.code, postgresql_using="hash")
"""Finds the region that had a code. Other hands may have written a code that is too long for a B-tree."""

suspension = Table(
    "suspension",
    metadata,
    source(),
    region_id(),
    column("suspended_from", TIME, "After when the CronJob was suspended: valid_from in region_schedule."),
    time_column("suspended_until", "Up to when; null: it still is, and the row stands for all ticks since."),
    column("region_code", Text, "The region's code then."),
    column("cron", Text, "The schedule, in UTC."),
    text_column("suspended_by", "What suspended the CronJob, and who; null: not known."),
    column("first_tick_at", TIME, "The first tick that was skipped."),
    column("last_tick_at", TIME, "The latest tick that is counted."),
    column("ticks", BigInteger, "How many ticks were skipped, up to counted_until."),
    column("counted_until", TIME, "Up to when the ticks are counted; it follows the time, at most an hour behind."),
    stamp("counted_at", "When ticks were last counted."),
    PrimaryKeyConstraint("source", "region_id", "suspended_from"),
    CheckConstraint(text("ticks >= 0"), name="ticks"),
    schema=SCHEMA,
    comment="The ticks of suspended regions: one row for each suspension. None of these ticks has a row in job_run.",
)
"""A claim of a tick up to `counted_until` is refused, so a leftover Job cannot do the tick."""

ledger = Table(
    "ledger",
    metadata,
    Column("source", Text, primary_key=True, comment="The table of regions, with its schema."),
    column(
        "accounted_until",
        TIME,
        "Every tick that was expected up to then has its row in job_run, or lies in a suspension.",
    ),
    text_column("scheduler", "The RegionScheduler that accounts for the table in an older release; see slot_owner."),
    schema=SCHEMA,
    comment="Up to when the ticks of each table of regions are accounted for.",
)

compatibility = Table(
    "compatibility",
    metadata,
    column("min_reader", Text, "The oldest release that may read and write the tables of this schema."),
    Column("only_row", Boolean, primary_key=True, server_default=text("true"), comment="Keeps the table at one row."),
    CheckConstraint(text("only_row"), name="only_row"),
    schema=SCHEMA,
    comment="Which releases may use this schema: an older release leaves it alone.",
)
