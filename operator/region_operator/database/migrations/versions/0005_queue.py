"""The queue for tasks that leave the tick: procrastinate's tables and functions, in our schema.

procrastinate's own scripts make the tables and functions. The package of procrastinate contains the scripts of every
version since the first. A released script never changes. This revision runs the scripts up to LAST; a later revision
runs the scripts after LAST. The scripts name their tables without a schema. So this revision sets a search_path on each
function, and a caller needs none, for example a tick behind a pooler.
"""

from importlib.resources import files

from alembic import op

revision = "0005"
down_revision = "0004"

LAST = "03.04.00_50_post_add_retry_failed_job_procedure.sql"

PLPGSQL = "CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;"
"""Not needed: every Postgres has plpgsql. Some providers refuse the statement all the same."""

LABELS = "'failed'  -- The job ended with an error"
LATER_LABELS = ("cancelled", "aborting", "aborted")
"""Before version 17, Postgres refuses to use a label in the transaction that added the label to a type. So the type of
a job's status gets these labels at once when the type is made, in the same order. The later scripts no longer add the
labels.
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
    """Return `script` without statements that some servers refuse. All scripts together still make the same schema."""
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
