"""How long an upstream's answer stays fresh, and what was spent of each key's daily quota."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make budget, which is empty, and two columns of upstream without a default, which rewrites nothing. Whoever may
    poll may use them too.

    Ticks read upstream all the time, and all of them wait behind an ALTER TABLE that waits.
    """
    for statement in (UPSTREAM_FRESH, BUDGET, RIGHTS):
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

RIGHTS = """
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        FROM pg_attribute CROSS JOIN LATERAL aclexplode(attacl) AS acl
        WHERE attrelid = CAST('region_tick.upstream' AS regclass) AND attname = 'etag' AND privilege_type = 'UPDATE'
    LOOP
        EXECUTE 'GRANT UPDATE (fresh_seconds, fresh_until) ON region_tick.upstream TO ' || grantee;
    END LOOP;
    FOR grantee IN
        SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS acl
        WHERE pg_class.oid = CAST('region_tick.upstream' AS regclass) AND privilege_type = 'INSERT'
            AND acl.grantee <> relowner
    LOOP
        EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON region_tick.budget TO ' || grantee;
    END LOOP;
END
$$
"""
"""Ticks and workers with a role of their own may update upstream by column only. Each answer sets the new columns."""
