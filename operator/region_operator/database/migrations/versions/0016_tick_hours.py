"""What the console counts ticks from: how many ticks of each hour ended in which state.

The counts begin with this revision: the console's first day shows less than a day.
"""

from alembic import op

revision = "0016"
down_revision = "0014"


def upgrade() -> None:
    """Make tick_hour."""
    op.execute(TICK_HOUR)


TICK_HOUR = """
CREATE TABLE region_tick.tick_hour (
    source text NOT NULL,
    installation text NOT NULL,
    hour timestamptz NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    ticks bigint NOT NULL,
    PRIMARY KEY (source, installation, hour, state, reason),
    CONSTRAINT tick_hour_ticks_check CHECK (ticks >= 0)
)
"""
