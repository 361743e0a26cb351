"""Who owns the slots of a table of regions: a slot is a 256th part of a table's regions."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make slot_owner and installation. The first operator that reads a table becomes the owner of its slots."""
    op.execute(SLOT_OWNER)
    op.execute(INSTALLATION)


SLOT_OWNER = """
CREATE TABLE region_tick.slot_owner (
    source text NOT NULL,
    slot integer NOT NULL,
    installation text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    epoch bigint NOT NULL DEFAULT 1,
    offered boolean NOT NULL DEFAULT false,
    successor text,
    accounted_until timestamptz,
    PRIMARY KEY (source, slot),
    CONSTRAINT slot_owner_slot_check CHECK (slot >= 0 AND slot < 256)
)
"""

INSTALLATION = """
CREATE TABLE region_tick.installation (
    source text NOT NULL,
    installation text NOT NULL,
    namespace text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    interval_seconds double precision NOT NULL,
    took_over text[] NOT NULL DEFAULT '{}',
    accounted_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, installation)
)
"""
