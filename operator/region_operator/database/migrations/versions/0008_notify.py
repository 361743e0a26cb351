"""A trigger for each row takes the place of the trigger for each statement: see `region_operator.database.row_trigger`.

notify_change stays, for TRUNCATE and for triggers that people made by hand.
"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Let notify_change name a partition's whole table too, and say nothing where a trigger for each row stands.

    The latter is for the trigger region_tick_notify of release 0.1: only the table's owner can drop the trigger, and an
    operator of 0.1 may make the trigger again.
    """
    op.execute(NOTIFY_CHANGE)


NOTIFY_CHANGE = r"""
CREATE OR REPLACE FUNCTION region_tick.notify_change() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_NAME = 'region_tick_notify' AND EXISTS (
        SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = TG_RELID AND tgname ~ '^region_tick_notify_[0-9a-f]{8}$'
    ) THEN
        RETURN NULL;
    END IF;
    -- A full queue would make the COMMIT fail.
    IF pg_catalog.pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_catalog.pg_notify(
            'region_tick_changes', pg_catalog.format('%s.%s', TG_TABLE_SCHEMA, TG_TABLE_NAME)
        );
        PERFORM pg_catalog.pg_notify('region_tick_changes', pg_catalog.format('%s.%s', n.nspname, c.relname))
        FROM pg_catalog.pg_partition_ancestors(TG_RELID) a
        JOIN pg_catalog.pg_class c ON c.oid = a.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;
    END IF;
    RETURN NULL;
END
$$
"""
