"""What polling needs: the state of each creator, and the table of items."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add columns to creator, make item, and make a trigger that empties the state of an edited creator."""
    for statement in (CREATOR_COLUMNS, FORGET, FORGET_EDITED, ITEM):
        op.execute(statement)


CREATOR_COLUMNS = """
ALTER TABLE region_tick.creator
    ADD COLUMN platform_id text,
    ADD COLUMN last_polled_at timestamptz,
    ADD COLUMN last_error text,
    ADD COLUMN failures integer NOT NULL DEFAULT 0
"""

FORGET = """
CREATE FUNCTION region_tick.forget_polls() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.etag := NULL;
    NEW.last_modified := NULL;
    NEW.not_before := NULL;
    NEW.platform_id := NULL;
    NEW.last_polled_at := NULL;
    NEW.last_error := NULL;
    NEW.failures := 0;
    NEW.updated_at := pg_catalog.clock_timestamp();
    RETURN NEW;
END
$$
"""

FORGET_EDITED = """
CREATE TRIGGER creator_forget_polls BEFORE UPDATE OF platform, handle, url ON region_tick.creator FOR EACH ROW
WHEN ((OLD.platform, OLD.handle, OLD.url) IS DISTINCT FROM (NEW.platform, NEW.handle, NEW.url))
EXECUTE FUNCTION region_tick.forget_polls()
"""

ITEM = """
CREATE TABLE region_tick.item (
    creator_id bigint NOT NULL REFERENCES region_tick.creator ON DELETE CASCADE,
    item_id text NOT NULL,
    url text,
    title text,
    published_at timestamptz,
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (creator_id, item_id)
)
"""
