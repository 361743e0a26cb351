"""What the ledger needs to know of suspended regions, and which RegionScheduler finalizes the ticks of a source."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Extend region_schedule and ledger."""
    op.execute("ALTER TABLE region_tick.region_schedule ADD suspended boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE region_tick.ledger ADD scheduler text")
