"""How long an upstream's answer stays fresh, and what was spent of each key's daily quota."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make budget, which is empty, and two columns of upstream without a default, which rewrites nothing.

    Ticks read upstream all the time, and all of them wait behind an ALTER TABLE that waits. So this revision gives up
    after a second, and the operator migrates again later.
    """
    for statement in ("SET LOCAL lock_timeout = '1s'", UPSTREAM_FRESH, BUDGET):
        op.execute(statement)


UPSTREAM_FRESH = """
ALTER TABLE region_tick.upstream ADD COLUMN fresh_seconds integer, ADD COLUMN fresh_until timestamptz
"""

BUDGET = """
CREATE TABLE region_tick.budget (
    platform text NOT NULL,
    account text NOT NULL,
    day date NOT NULL,
    units integer NOT NULL,
    PRIMARY KEY (platform, account, day)
)
"""
