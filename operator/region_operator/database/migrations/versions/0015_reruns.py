"""A tick that did not succeed can be run again: its row says by which Job, and who asked for it."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the columns, let whoever may end a tick's row set them too, and show them in the view.

    Adding columns without a default rewrites nothing, but waits for the transactions that have job_run in hand, and all
    ticks wait behind.
    """
    for statement in (
        "ALTER TABLE region_tick.job_run ADD rerun_uid text, ADD rerun_by text",
        RIGHTS,
        RUNS,
    ):
        op.execute(statement)


RIGHTS = """
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        FROM pg_attribute CROSS JOIN LATERAL aclexplode(attacl) AS acl
        WHERE attrelid = CAST('region_tick.job_run' AS regclass) AND attname = 'state' AND privilege_type = 'UPDATE'
    LOOP
        EXECUTE 'GRANT UPDATE (counted, rerun_uid, rerun_by) ON region_tick.job_run TO ' || grantee;
    END LOOP;
END
$$
"""
"""Ticks with a role of their own may update job_run by column only. A rerun sets `counted` too."""

RUNS = """
CREATE OR REPLACE VIEW region_tick.runs AS
SELECT source, region_id, region_code, tick_at, manual_uid <> '' AS manual, state, reason, attempt,
    started_at, finished_at, finished_at - started_at AS duration, cron, handler, window_start, window_end,
    counts, error_class, error_message, job_name, pod, node, bigint '1' AS ticks, tick_at AS last_tick_at,
    rerun_uid, rerun_by
FROM region_tick.job_run
UNION ALL
SELECT source, region_id, region_code, first_tick_at, false, 'skipped', 'suspended', 0,
    NULL::timestamptz, counted_at, NULL::interval, cron, NULL::text, NULL::timestamptz, NULL::timestamptz,
    NULL::jsonb, NULL::text, suspended_by, NULL::text, NULL::text, NULL::text, ticks, last_tick_at,
    NULL::text, NULL::text
FROM region_tick.suspension
"""
