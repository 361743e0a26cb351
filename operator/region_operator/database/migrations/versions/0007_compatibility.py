"""The oldest release that may use the schema. A release that finds a newer schema reads this value."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make compatibility, with its one row. A revision that removes something raises `min_reader`."""
    op.execute(COMPATIBILITY)
    op.execute("INSERT INTO region_tick.compatibility (min_reader) VALUES ('0.1.0')")


COMPATIBILITY = """
CREATE TABLE region_tick.compatibility (
    min_reader text NOT NULL,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
)
"""
