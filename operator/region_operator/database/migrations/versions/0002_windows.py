"""The cursors that say how far each region was fetched, and a view of the ledger for people."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of cursors and the view of runs."""
    op.execute(REGION_CURSOR)
    op.execute(RUNS)


REGION_CURSOR = """
CREATE TABLE region_tick.region_cursor (
    source text NOT NULL,
    region_id text NOT NULL,
    handler text NOT NULL,
    window_start timestamptz,
    window_end timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, region_id, handler)
)
"""

RUNS = """
CREATE VIEW region_tick.runs AS
SELECT source, region_id, region_code, tick_at, manual_uid <> '' AS manual, state, reason, attempt,
    started_at, finished_at, finished_at - started_at AS duration, cron, handler, window_start, window_end,
    counts, error_class, error_message, job_name, pod, node
FROM region_tick.job_run
"""
