"""Creates the triggers on the user's table of regions that notify the operator of edits.

The user's table may be a view, have an id of another type, or belong to another role. So the operator never alters the
table, except for the triggers. The triggers are a luxury: without them, the operator sees an edit at the next refresh.
So a trigger that cannot be made is reported, not raised. When the triggers are made is left to `triggers`,
what they tell of to `row_trigger`.

Several installations may read one table by different columns, and each has a trigger of its own. So nobody drops a
trigger, except for the trigger of release 0.1: the new triggers take its place.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from region_operator.database.row_trigger import STATEMENT_FUNCTION, STATEMENT_TRIGGER, TRUNCATE_TRIGGER, RowTrigger
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from region_operator.scheduler import Columns

_NOT_MADE = (
    *(errors.InsufficientPrivilege, errors.LockNotAvailable, errors.DeadlockDetected, errors.ReadOnlySqlTransaction),
    *(errors.DuplicateObject, errors.DuplicateFunction, errors.UniqueViolation),  # another installation was first
)

_ALWAYS = "A"
"""The value of pg_trigger.tgenabled for a trigger that fires for the rows of logical replication too."""

_FIRES = ("O", _ALWAYS)
"""The values of pg_trigger.tgenabled for a trigger that ordinary sessions fire, neither disabled nor for replicas only.
"""

_LOOK = text("""
WITH source AS (
    SELECT c.oid, c.relkind, c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :table AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), member AS (
    SELECT c.oid, c.relkind, c.oid::regclass::text AS name FROM pg_class c
    WHERE c.oid IN (SELECT oid FROM source UNION SELECT relid FROM source, pg_partition_tree(source.oid))
), mapped AS (
    SELECT a.attgenerated FROM source JOIN pg_attribute a ON a.attrelid = source.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY(CAST(:columns AS text[]))
)
SELECT source.relkind::text AS kind, source.oid::regclass::text AS name,
    has_table_privilege(source.oid, 'TRIGGER') AS allowed,
    (SELECT count(*) FROM mapped) = cardinality(CAST(:columns AS text[])) AS mapped,
    EXISTS (SELECT FROM pg_inherits WHERE inhparent = source.oid AND source.relkind = 'r')
        OR EXISTS (SELECT FROM member WHERE relkind = 'f')
        OR EXISTS (SELECT FROM mapped WHERE attgenerated = 'v') AS partial,
    EXISTS (SELECT FROM member JOIN pg_subscription_rel ON srrelid = member.oid) AS replicated,
    ARRAY(
        SELECT tgenabled::text FROM member JOIN pg_trigger ON tgrelid = member.oid WHERE tgname IN (:row, :truncate)
    ) AS enabled,
    NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = source.oid AND tgname = :row) AS lacks_row,
    ARRAY(
        SELECT name FROM member WHERE relkind <> 'f'
        AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = member.oid AND tgname = :truncate)
    ) AS lack_truncate,
    old.tgenabled::text AS statement,
    pg_has_role(source.relowner, 'USAGE') AS owned,
    EXISTS (SELECT FROM pg_trigger WHERE tgrelid = source.oid AND tgname ~ '^region_tick_notify_[0-9a-f]{8}$')
        AS statement_is_mute,
    EXISTS (
        SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = :ours AND p.proname = :function
    ) AS has_function
FROM source LEFT JOIN pg_trigger old ON old.tgrelid = source.oid AND old.tgname = :statement
    AND old.tgfoid IN (
        SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = :ours AND p.proname = :statement_function
    )
""")
"""Finds all that decides about the triggers of a table, as one row. `member` is the table with its partitions: Postgres
copies a trigger for each row to the partitions, but not a trigger for TRUNCATE. `statement` is the state of the trigger
of release 0.1, and null without it. That trigger is mute if a trigger for each row stands (revision 0008).
"""


class Trigger(StrEnum):
    """The state of the triggers that notify of edits: one for each row, one for TRUNCATE."""

    CREATED = "created"
    FOUND = "found"
    STATEMENT = "every statement"
    """The trigger of release 0.1 exists, or one like it that a person made. It tells of every statement. The operator
    replaces the trigger.
    """
    PARTIAL = "partial"
    """The triggers exist, but do not fire for every edit: some rows are in a table that inherits from the table or in a
    foreign partition, a mapped column is a virtual generated one, or logical replication writes the rows.
    """
    DISABLED = "disabled"
    """A trigger exists, but somebody disabled the trigger. Only that person can know whether to enable it."""
    MISSING = "missing"
    """A trigger does not exist, and could be made."""
    UNMAPPED = "other columns"
    """The table lacks some of the columns, so a trigger would tell of nothing."""
    NO_TABLE = "no table"
    """No table exists, or only a view. A trigger on a view would not fire."""
    REFUSED = "refused"
    """A trigger cannot be made: no right, a table locked for too long, or a read-only server."""

    @property
    def fires(self) -> bool:
        """Whether every edit of the table notifies the operator."""
        return self in (Trigger.CREATED, Trigger.FOUND, Trigger.STATEMENT)


async def look_at_trigger(connection: AsyncConnection, *, schema: str, table: str, columns: Columns) -> Trigger:
    """Return the state of the triggers on `schema.table`, by one query of the catalog. Makes nothing."""
    return _judge(await _look(connection, schema, table, RowTrigger.of(columns)))


async def ensure_trigger(connection: AsyncConnection, *, schema: str, table: str, columns: Columns) -> Trigger:
    """Make the missing triggers on `schema.table`, in the place of the trigger of release 0.1; return the state.

    The triggers notify contract.CHANGES_CHANNEL of changes in the mapped columns of active rows. Raises
    sqlalchemy.exc.DBAPIError, except for a missing right, a lock held for too long or a read-only server.
    """
    row_trigger = RowTrigger.of(columns)
    found = await _look(connection, schema, table, row_trigger)
    state = _judge(found)
    if found is None or state not in (Trigger.MISSING, Trigger.STATEMENT) or not (found.allowed and found.mapped):
        return state
    try:
        async with connection.begin_nested():
            for statement in _statements(found, row_trigger):
                await connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    except DBAPIError as error:
        if isinstance(error.orig, _NOT_MADE):
            return state if state is Trigger.STATEMENT else Trigger.REFUSED
        raise
    return Trigger.PARTIAL if found.partial or found.replicated else Trigger.CREATED


async def has_schema(connection: AsyncConnection, name: str) -> bool:
    """Return whether a schema exists.

    Call this function before CREATE SCHEMA: CREATE SCHEMA IF NOT EXISTS needs the right to create, even if the schema
    exists.
    """
    result = await connection.execute(
        text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :name)"), {"name": name}
    )
    return bool(result.scalar_one())


async def _look(connection: AsyncConnection, schema: str, table: str, row_trigger: RowTrigger) -> Row[Any] | None:
    names = {"ours": SCHEMA, "statement": STATEMENT_TRIGGER, "statement_function": STATEMENT_FUNCTION}
    names |= {"row": row_trigger.name, "function": row_trigger.function, "truncate": TRUNCATE_TRIGGER}
    parameters = {"schema": schema, "table": table, "columns": list(row_trigger.columns)}
    return (await connection.execute(_LOOK, parameters | names)).one_or_none()


def _judge(found: Row[Any] | None) -> Trigger:
    if found is None or found.kind not in ("r", "p"):
        return Trigger.NO_TABLE
    stands = not found.lacks_row and not found.lack_truncate
    enabled = set(found.enabled) if stands or found.statement is None else {*found.enabled, found.statement}
    if not enabled.issubset(_FIRES):
        return Trigger.DISABLED
    if found.statement in _FIRES and (found.owned if stands else not found.statement_is_mute):
        return Trigger.STATEMENT
    if stands:
        unheard = found.partial or (found.replicated and enabled != {_ALWAYS})
        return Trigger.PARTIAL if unheard else Trigger.FOUND
    if not found.mapped:
        return Trigger.UNMAPPED
    return Trigger.MISSING if found.allowed else Trigger.REFUSED


def _statements(found: Row[Any], row_trigger: RowTrigger) -> Iterator[str]:
    """Yield what is missing. The first statement takes the strongest lock, so no later statement can deadlock."""
    if found.statement in _FIRES and found.owned:
        yield f"DROP TRIGGER {STATEMENT_TRIGGER} ON {found.name}"
    if not found.has_function:
        yield row_trigger.create_function()
    if found.lacks_row:
        yield (
            f"CREATE TRIGGER {row_trigger.name} AFTER INSERT OR UPDATE OR DELETE ON {found.name}"
            f" FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.{row_trigger.function}()"
        )
    for member in found.lack_truncate:
        yield (
            f"CREATE TRIGGER {TRUNCATE_TRIGGER} AFTER TRUNCATE ON {member}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.{STATEMENT_FUNCTION}()"
        )
