"""The ledger's ground: what a schedule in force says of its Jobs, and how far the ledger has come."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Extend region_schedule, which nobody has written yet, and make ledger."""
    op.execute("ALTER TABLE region_tick.region_schedule ADD cronjob text NOT NULL")
    op.execute("ALTER TABLE region_tick.region_schedule ADD start_deadline_seconds integer NOT NULL")
    op.execute("CREATE TABLE region_tick.ledger (source text PRIMARY KEY, accounted_until timestamptz NOT NULL)")
