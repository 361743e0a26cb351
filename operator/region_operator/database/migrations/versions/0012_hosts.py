"""Which hosts are left alone, and which places at hosts are taken: for ticks and workers of a database together."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make host and host_place, both empty: a host is in trouble only when a request says so."""
    op.execute(HOST)
    op.execute(HOST_PLACE)


HOST = """
CREATE TABLE region_tick.host (
    name text PRIMARY KEY,
    not_before timestamptz,
    failures integer NOT NULL DEFAULT 0,
    failed_creator text,
    last_error text,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

HOST_PLACE = """
CREATE TABLE region_tick.host_place (
    host text NOT NULL,
    number integer NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (host, number)
)
"""
