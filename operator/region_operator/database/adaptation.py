"""Teaches a connection to read the values of the user's table that Python cannot hold.

psycopg raises an error for `infinity`, for years beyond 9999 and for years before Christ. One such value would make the
whole table unreadable. So such a value is read as OutOfRange, and `regions.region` quarantines the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import Loader
from psycopg.pq import Format

from region_tick.text_encoding import NotUtf8, OutOfRange

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.abc import AdaptContext, Buffer

_TIMES = ("date", "timestamp", "timestamptz", "interval")


def adapt_to_values(connection: AsyncConnection[Any]) -> None:
    """Make a new connection read what Python cannot hold, and char(n) without its padding."""
    for kind in _TIMES:
        connection.adapters.register_loader(kind, _TimeLoader)
    connection.adapters.register_loader("bpchar", _PaddedTextLoader)


class _TimeLoader(Loader):
    """Reads a time as psycopg does, or as OutOfRange."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        loader = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert loader is not None  # noqa: S101 - for the type checker: psycopg knows these types
        self._load = loader(oid, context).load

    def load(self, data: Buffer) -> Any:
        if bytes(data) not in (b"infinity", b"-infinity"):  # psycopg reads an infinite interval as none at all
            try:
                return self._load(data)
            except psycopg.DataError:
                pass
        return OutOfRange(bytes(data).decode())


class _PaddedTextLoader(Loader):
    """Reads char(n) as Postgres compares it: blanks at the end are no part of the value."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        adapters = context.adapters if context else psycopg.adapters
        loader = adapters.get_loader(adapters.types["text"].oid, Format.TEXT)
        assert loader is not None  # noqa: S101 - for the type checker
        self._load = loader(oid, context).load

    def load(self, data: Buffer) -> Any:
        text = self._load(data)
        return text if isinstance(text, NotUtf8) else text.rstrip(" ")
