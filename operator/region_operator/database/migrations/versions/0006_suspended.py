"""The ledger knows suspended regions, and who accounts for a source that is no longer read."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Extend region_schedule and ledger."""
    op.execute("ALTER TABLE region_tick.region_schedule ADD suspended boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE region_tick.ledger ADD scheduler text")
