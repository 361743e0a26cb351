"""Writes the trigger that tells of changed rows, as SQL text. Pure.

The trigger's function compares what the operator reads of a row: the mapped columns of active rows. Any other change
says nothing. The comparison stands in the function and not in the trigger's definition, because Postgres refuses to
alter or drop a column that a trigger's definition names. So each set of columns has a function and a trigger of its
own, and both names carry a hash of the columns. See docs/decisions/0019-a-trigger-that-names-no-column.md.

The function runs in each write of the user's table, with the rights and the search_path of whoever writes. So the
function uses nothing but pg_catalog and names it everywhere. SET search_path would do too, but costs as much as all the
rest. And what goes wrong in the comparison is caught: a write must not fail because of us.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Self

from region_tick.contract import CHANGES_CHANNEL, SCHEMA

if TYPE_CHECKING:
    from region_operator.scheduler import Columns

STATEMENT_TRIGGER = "region_tick_notify"
"""The trigger that release 0.1 made, and that a person may make by hand: tells of every statement that writes."""

TRUNCATE_TRIGGER = "region_tick_notify_truncate"
"""The trigger that tells of TRUNCATE, which fires no trigger of a row. All column sets share the trigger."""

STATEMENT_FUNCTION = "notify_change"
"""The function of STATEMENT_TRIGGER and TRUNCATE_TRIGGER. The migrations make the function."""


@dataclass(frozen=True, slots=True)
class RowTrigger:
    """The trigger for one set of columns. `columns` are the names of the mapped columns, each once.

    `active` is the column that says whether a row is active.
    """

    columns: tuple[str, ...]
    active: str

    @classmethod
    def of(cls, columns: Columns) -> Self:
        """Return the trigger for what `spec.source.columns` names."""
        return cls(tuple(dict.fromkeys(columns.model_dump(exclude_none=True).values())), columns.active)

    @property
    def name(self) -> str:
        """The trigger's name."""
        return f"{STATEMENT_TRIGGER}_{self._hash}"

    @property
    def function(self) -> str:
        """The function's name, without the schema."""
        return f"notify_rows_{self._hash}"

    @property
    def comment(self) -> str:
        """The function's description in the database."""
        return f"A trigger of tables of regions: tells of changed rows, by {', '.join(self.columns)}."

    def create_function(self) -> str:
        """Return the statements that make the function and its description."""
        name = f"{SCHEMA}.{self.function}()"
        return (
            f"CREATE FUNCTION {name} RETURNS trigger LANGUAGE plpgsql AS {_literal(self._body())};"
            f" COMMENT ON FUNCTION {name} IS {_literal(self.comment)}"
        )

    @property
    def _hash(self) -> str:
        return hashlib.sha256("\0".join((self.active, *self.columns)).encode()).hexdigest()[:8]

    def _body(self) -> str:
        return _BODY.format(
            active=_quoted(self.active),
            differs=self._differs("OLD", "NEW"),
            replan=_literal(f"SELECT {self._differs('($1)', '($2)')}"),
            tell=indent(_TELL.strip().format(channel=CHANGES_CHANNEL), 8 * " "),
        )

    def _differs(self, before: str, after: str) -> str:
        """Return the comparison of two rows, as they are stored: so any type can be compared, and NULL with NULL."""
        rows = (", ".join(f"{row}.{_quoted(column)}" for column in self.columns) for row in (before, after))
        return f"pg_catalog.record_image_ne({', '.join(f'ROW({row})' for row in rows)})"


_TELL = """
-- A full queue of notifications would make the COMMIT fail.
IF pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.<) 0.5 THEN
    PERFORM pg_catalog.pg_notify('{channel}', pg_catalog.format('%s.%s', TG_TABLE_SCHEMA, TG_TABLE_NAME));
    IF pg_catalog.pg_partition_root(TG_RELID) IS NOT NULL THEN
        PERFORM pg_catalog.pg_notify('{channel}', pg_catalog.format('%s.%s', n.nspname, c.relname))
        FROM pg_catalog.pg_partition_ancestors(TG_RELID) a
        JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.relid
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace;
    END IF;
END IF;
"""

_BODY = """
DECLARE
    differs boolean;
BEGIN
    -- For INSERT all of OLD is null, for DELETE all of NEW.
    IF (OLD.{active} OR NEW.{active}) AND {differs} THEN
{tell}
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN undefined_column THEN
        RETURN NULL;  -- somebody renamed or dropped a column, and nobody can read the table by these columns
    WHEN OTHERS THEN
        -- Somebody altered a column's type, and this session planned the comparison before. Plan it anew.
        BEGIN
            EXECUTE {replan} INTO differs USING OLD, NEW;
            IF differs THEN
{tell}
            END IF;
        EXCEPTION
            WHEN OTHERS THEN
                NULL;  -- whatever it is, a write must not fail because of us
        END;
        RETURN NULL;
END
"""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
