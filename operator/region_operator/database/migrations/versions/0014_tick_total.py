"""What the metrics of ticks are counted from: each ending is counted once, whoever wrote it and whoever leads.

The rows that are final already count as counted: the metrics begin with this revision.
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make tick_total, and mark the rows of job_run that are not counted in it.

    Adding a column with a constant default rewrites nothing, but waits for the transactions that have job_run in hand,
    and all ticks wait behind. The index is made without the partitions (see 0009).
    """
    for statement in (
        "ALTER TABLE region_tick.job_run ADD counted boolean NOT NULL DEFAULT true",
        "ALTER TABLE region_tick.job_run ALTER counted SET DEFAULT false",
        "UPDATE region_tick.job_run SET counted = false WHERE state IN ('running', 'interrupted')",
        JOB_RUN_UNCOUNTED,
        TICK_TOTAL,
    ):
        op.execute(statement)


JOB_RUN_UNCOUNTED = """
CREATE INDEX job_run_uncounted ON ONLY region_tick.job_run (tick_at)
WHERE NOT counted AND state IN ('succeeded', 'failed', 'skipped', 'missed')
"""

TICK_TOTAL = """
CREATE TABLE region_tick.tick_total (
    source text NOT NULL,
    installation text NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    ticks bigint NOT NULL,
    delays bigint[] NOT NULL,
    delay_seconds double precision NOT NULL,
    durations bigint[] NOT NULL,
    duration_seconds double precision NOT NULL,
    PRIMARY KEY (source, installation, state, reason),
    CONSTRAINT tick_total_ticks_check CHECK (ticks >= 0)
)
"""
