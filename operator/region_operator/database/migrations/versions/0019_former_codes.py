"""Finds a region that is gone by the code that it had."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Index the codes. The operator alone writes the table, which has a row for each change of a schedule."""
    op.execute("CREATE INDEX region_schedule_code ON region_tick.region_schedule USING hash (code)")
