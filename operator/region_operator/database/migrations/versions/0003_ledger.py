"""What the ledger needs: the CronJob and start deadline of each schedule version, and how far the ledger has come."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Extend region_schedule, and make ledger. No release has written to region_schedule yet, so NOT NULL needs no
    default.
    """
    op.execute("ALTER TABLE region_tick.region_schedule ADD cronjob text NOT NULL")
    op.execute("ALTER TABLE region_tick.region_schedule ADD start_deadline_seconds integer NOT NULL")
    op.execute("CREATE TABLE region_tick.ledger (source text PRIMARY KEY, accounted_until timestamptz NOT NULL)")
