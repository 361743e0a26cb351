"""What `tables` is written in: the kinds of columns, and the names of constraints. Every time is a timestamptz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, DateTime, MetaData, Numeric, Text, text

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={  # the names that Postgres gives by itself
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

TIME = DateTime(timezone=True)


def column(
    name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]], comment: str, *, default: str | None = None
) -> Column[Any]:
    """Return a NOT NULL column. `default` is SQL."""
    return Column(name, kind, nullable=False, server_default=default and text(default), comment=comment)


def text_column(name: str, comment: str) -> Column[Any]:
    return Column(name, Text, comment=comment)


def time_column(name: str, comment: str) -> Column[Any]:
    return Column(name, TIME, comment=comment)


def stamp(name: str, comment: str) -> Column[Any]:
    return column(name, TIME, comment, default="clock_timestamp()")


def degrees(name: str, comment: str) -> Column[Any]:
    return Column(name, Numeric(9, 6), comment=f"{comment}, in degrees.")


def source() -> Column[Any]:
    return column("source", Text, "The table of regions, with its schema, e.g. public.region_index.")


def region_id() -> Column[Any]:
    return column("region_id", Text, "The region's id in the table of regions, as text.")
