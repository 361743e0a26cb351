"""The page of the tables and views: what a column is stands in the database too, as COMMENT ON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import ColumnCollectionConstraint, DefaultClause

from docs.generator.markdown import code, codes, join, section, table, wrap
from region_operator.database.comments import VIEWS
from region_operator.database.tables import metadata
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def tables_page() -> str:
    """Return the page without its head."""
    return join(
        wrap(
            "The user's table `region_index` is shown as the operator makes it where there is none. All other tables"
            " are the operator's own. The queue of the handler `enqueue` is procrastinate's, in tables that begin with"
            " `procrastinate_`; [`queue.md`](../queue.md) says more."
        ),
        *(_table(described) for described in metadata.tables.values()),
        *_views(),
    )


def _table(described: Table) -> str:
    return section(
        f"Table `{described.fullname}`",
        wrap(described.comment or ""),
        table(("column", "type", "null", "default", "meaning"), map(_column, described.columns)),
        "\n".join(f"- {line}" for line in _constraints(described)),
    )


def _column(column: Column[object]) -> tuple[str, ...]:
    default = column.server_default
    text = str(default.arg) if isinstance(default, DefaultClause) else "identity" if column.identity else ""
    kind = column.type.compile(dialect=_DIALECT).lower()
    return code(column.name), kind, "yes" if column.nullable else "no", code(text), column.comment or ""


def _constraints(described: Table) -> Iterator[str]:
    yield "primary key: " + codes(column.name for column in described.primary_key)
    for constraint in sorted(described.constraints, key=_order):
        match constraint:
            case UniqueConstraint():
                yield "unique: " + codes(column.name for column in constraint.columns)
            case ForeignKeyConstraint():
                yield f"{codes(constraint.column_keys)} refers to {code(constraint.referred_table.fullname)}"
            case CheckConstraint():
                yield "check: " + code(constraint.sqltext)
    for index in sorted(described.indexes, key=lambda index: str(index.name)):
        where = index.dialect_options["postgresql"]["where"]
        kind = "unique index" if index.unique else "index"
        beside = index.dialect_options["postgresql"]["include"]
        more = f", and beside {codes(beside)}" if beside else ""
        yield f"{kind}: {codes(index.columns.keys())}{more}" + (f" where {code(where)}" if where is not None else "")
    if by := described.dialect_options["postgresql"]["partition_by"]:
        yield f"partitioned by {code(by)}"


def _order(constraint: object) -> tuple[str, str]:
    columns = constraint.columns.keys() if isinstance(constraint, ColumnCollectionConstraint) else []
    return type(constraint).__name__, " ".join(columns) + str(getattr(constraint, "sqltext", ""))


def _views() -> Iterator[str]:
    for name, view in VIEWS.items():
        rows = ((code(column), text) for column, text in view.columns.items())
        yield section(f"View `{SCHEMA}.{name}`", wrap(view.text), table(("column", "meaning"), rows))
