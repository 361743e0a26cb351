"""The ledger at size: one row for each suspension, indexes by the end of a run, and views for the usual questions.

The rows that each suspended tick has in job_run stay until they are too old.
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make suspension, extend region_schedule and runs, and make the other views.

    The indexes are made without the partitions, so that nothing is read and no tick waits. A partition made from now on
    gets them at once; `indexes` builds them for the partitions that stand.
    """
    for statement in (
        SUSPENSION,
        "ALTER TABLE region_tick.region_schedule ADD suspended_by text",
        JOB_RUN_ENDED,
        JOB_RUN_FAILED,
        RUNS,
        LAST_SUCCESS,
        RECENT_FAILURES,
        MISSED_BY_CAUSE,
        DURATIONS_BY_DAY,
    ):
        op.execute(statement)


SUSPENSION = """
CREATE TABLE region_tick.suspension (
    source text NOT NULL,
    region_id text NOT NULL,
    suspended_from timestamptz NOT NULL,
    suspended_until timestamptz,
    region_code text NOT NULL,
    cron text NOT NULL,
    suspended_by text,
    first_tick_at timestamptz NOT NULL,
    last_tick_at timestamptz NOT NULL,
    ticks bigint NOT NULL,
    counted_until timestamptz NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, region_id, suspended_from),
    CONSTRAINT suspension_ticks_check CHECK (ticks >= 0)
)
"""

JOB_RUN_ENDED = """
CREATE INDEX job_run_ended ON ONLY region_tick.job_run (finished_at)
WHERE started_at IS NOT NULL AND finished_at - tick_at > interval '1 minute'
"""

JOB_RUN_FAILED = """
CREATE INDEX job_run_failed ON ONLY region_tick.job_run (finished_at)
INCLUDE (source, region_id, tick_at, state, reason) WHERE state IN ('failed', 'missed')
"""

RUNS = """
CREATE OR REPLACE VIEW region_tick.runs AS
SELECT source, region_id, region_code, tick_at, manual_uid <> '' AS manual, state, reason, attempt,
    started_at, finished_at, finished_at - started_at AS duration, cron, handler, window_start, window_end,
    counts, error_class, error_message, job_name, pod, node, bigint '1' AS ticks, tick_at AS last_tick_at
FROM region_tick.job_run
UNION ALL
SELECT source, region_id, region_code, first_tick_at, false, 'skipped', 'suspended', 0,
    NULL::timestamptz, counted_at, NULL::interval, cron, NULL::text, NULL::timestamptz, NULL::timestamptz,
    NULL::jsonb, NULL::text, suspended_by, NULL::text, NULL::text, NULL::text, ticks, last_tick_at
FROM region_tick.suspension
"""

LAST_SUCCESS = """
CREATE VIEW region_tick.last_success AS
SELECT schedule.source, schedule.region_id, schedule.code AS region_code, schedule.suspended,
    max(cursor.window_end) AS tick_at, max(cursor.updated_at) AS finished_at
FROM region_tick.region_schedule AS schedule
LEFT JOIN region_tick.region_cursor AS cursor USING (source, region_id)
WHERE schedule.valid_to IS NULL
GROUP BY schedule.source, schedule.region_id, schedule.code, schedule.suspended
"""

RECENT_FAILURES = """
CREATE VIEW region_tick.recent_failures AS
SELECT source, region_id, region_code, tick_at, state, reason, error_class, error_message, finished_at, job_name, node
FROM region_tick.job_run
WHERE state IN ('failed', 'missed') AND finished_at > now() - interval '1 hour'
"""

MISSED_BY_CAUSE = """
CREATE VIEW region_tick.missed_by_cause AS
SELECT source, (tick_at AT TIME ZONE 'UTC')::date AS day, reason, count(*) AS ticks,
    count(DISTINCT region_id) AS regions
FROM region_tick.job_run
WHERE state = 'missed'
GROUP BY 1, 2, 3
"""

DURATIONS_BY_DAY = """
CREATE VIEW region_tick.durations_by_day AS
SELECT source, (tick_at AT TIME ZONE 'UTC')::date AS day, count(*) AS sampled,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY finished_at - started_at) AS p50,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY finished_at - started_at) AS p95
FROM region_tick.job_run TABLESAMPLE SYSTEM ((
    SELECT least(100, 1677721600.0 / greatest(sum(pg_relation_size(inhrelid)), 1))
    FROM pg_inherits WHERE inhparent = 'region_tick.job_run'::regclass)) REPEATABLE (0)
WHERE started_at IS NOT NULL AND finished_at IS NOT NULL
GROUP BY 1, 2
"""
