"""A cursor that may stand inside of a window: which tick carried the cursor on is no longer where the cursor stands."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add region_cursor.tick_at, and let last_success tell of it."""
    op.execute("ALTER TABLE region_tick.region_cursor ADD tick_at timestamptz")
    op.execute(LAST_SUCCESS)


LAST_SUCCESS = """
CREATE OR REPLACE VIEW region_tick.last_success AS
SELECT schedule.source, schedule.region_id, schedule.code AS region_code, schedule.suspended,
    max(greatest(cursor.window_end, cursor.tick_at)) AS tick_at, max(cursor.updated_at) AS finished_at
FROM region_tick.region_schedule AS schedule
LEFT JOIN region_tick.region_cursor AS cursor USING (source, region_id)
WHERE schedule.valid_to IS NULL
GROUP BY schedule.source, schedule.region_id, schedule.code, schedule.suspended
"""
"""A cursor never stands behind the tick that carried it on. A tick of an older release leaves an older tick_at."""
