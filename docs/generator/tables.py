"""The page of the tables and views: what a column is stands in the database too, as COMMENT ON."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import ColumnCollectionConstraint, DefaultClause

from docs.generator.markdown import code, codes, join, section, table, wrap
from docs.generator.source import CHECKOUT
from region_operator.database.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Column

VERSIONS = "operator/region_operator/database/migrations/versions"
_VIEW = re.compile(r"(CREATE(?: OR REPLACE)?|DROP) VIEW (?:IF EXISTS )?([\w.]+)")
_COMMENT = re.compile(r"COMMENT ON (VIEW|COLUMN) ([\w.]+) IS '((?:[^']|'')*)'")
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
        yield f"{kind}: {codes(index.columns.keys())}" + (f" where {code(where)}" if where is not None else "")
    if by := described.dialect_options["postgresql"]["partition_by"]:
        yield f"partitioned by {code(by)}"


def _order(constraint: object) -> tuple[str, str]:
    columns = constraint.columns.keys() if isinstance(constraint, ColumnCollectionConstraint) else []
    return type(constraint).__name__, " ".join(columns) + str(getattr(constraint, "sqltext", ""))


def _views() -> Iterator[str]:
    sources = [path.read_text() for path in sorted((CHECKOUT / VERSIONS).glob("*.py"))]
    views, comments = read_views("\n".join(_strings(source) for source in sources))
    for view in views:
        columns = {
            name.removeprefix(f"{view}."): text for name, text in comments.items() if name.startswith(f"{view}.")
        }
        rows = ((code(name), text) for name, text in columns.items())
        yield section(
            f"View `{view}`", wrap(comments.get(view, "")), table(("column", "meaning"), rows) if columns else ""
        )


def read_views(statements: str) -> tuple[list[str], Mapping[str, str]]:
    """Return the views that stand after all statements, and the comments on views and columns."""
    views: dict[str, None] = {}
    for action, name in _VIEW.findall(statements):
        views.pop(name, None)
        if action != "DROP":
            views[name] = None
    comments = {name: text.replace("''", "'") for _, name, text in _COMMENT.findall(statements)}
    return list(views), comments


def _strings(source: str) -> str:
    """Return the texts in a module's source, for the statements are among them."""
    nodes = ast.walk(ast.parse(source))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
