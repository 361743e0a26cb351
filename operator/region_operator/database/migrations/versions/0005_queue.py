"""The queue for tasks that leave the tick: procrastinate's tables and functions, in our schema.

They are made by procrastinate's own scripts, which its package carries for every version since the first and which
stay as they were released. This revision takes those up to LAST; a later one takes those that came afterwards. All of
them are known by bare names, so each function gets its search_path here: then who calls one, a tick behind a pooler for
example, needs none.
"""

from importlib.resources import files

from alembic import op

revision = "0005"
down_revision = "0004"

LAST = "03.04.00_50_post_add_retry_failed_job_procedure.sql"

PLPGSQL = "CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;"
"""Every Postgres has it, and some providers refuse the statement nevertheless."""

LABELS = "'failed'  -- The job ended with an error"
LATER_LABELS = ("cancelled", "aborting", "aborted")
"""Before version 17, Postgres refuses to use a label in the transaction that added the label to a type. So the type of
a job's status gets these labels when the type is made, in the same order, and not by the scripts that came later.
"""


def upgrade() -> None:
    """Make procrastinate's schema."""
    op.execute("SET LOCAL search_path = region_tick")
    scripts = (script for script in files("procrastinate.sql.migrations").iterdir() if script.name.endswith(".sql"))
    for script in sorted(scripts, key=lambda script: script.name):
        if script.name <= LAST:
            statements = adapt(script.read_text(encoding="utf-8"))
            op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
    op.execute("SET LOCAL search_path TO DEFAULT")
    op.execute(SEARCH_PATHS)


def adapt(script: str) -> str:
    """Return a script without what some servers refuse; what all scripts make together stays the same."""
    script = script.replace(PLPGSQL, "").replace(LABELS, ", ".join(f"'{label}'" for label in ("failed", *LATER_LABELS)))
    for label in LATER_LABELS:
        script = script.replace(f"ALTER TYPE procrastinate_job_status ADD VALUE '{label}';", "")
    return script


SEARCH_PATHS = r"""
DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace = 'region_tick'::regnamespace AND proname LIKE 'procrastinate\_%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = region_tick, pg_temp', function);
    END LOOP;
END
$$
"""
