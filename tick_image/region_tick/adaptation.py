"""Teaches a connection what psycopg does not know: other encodings than UTF-8. psycopg's word for this is adaptation.

In a database that does not hold every character, every text that is written is escaped. In a database that holds bytes
of any encoding, a text that is not UTF-8 is read as NotUtf8, and not as an error that ends the whole query. That needs
the client_encoding SQL_ASCII; `read_any_bytes` sets it for a transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.adapt import Loader
from psycopg.types.string import StrDumperUnknown

from region_tick.text_encoding import UTF_8, NotUtf8, escape

if TYPE_CHECKING:
    from psycopg import BaseConnection, Connection
    from psycopg.abc import Buffer

_TEXTS = ("text", "varchar", "bpchar", "name", 0)
"""The types that are read as text. 0 stands for all types that psycopg does not know, as enumerations."""


def server_encoding(connection: BaseConnection[Any]) -> str:
    """Return Postgres' name of the database's encoding. A pooler may leave it out."""
    return connection.info.parameter_status("server_encoding") or "UTF8"


def read_any_bytes(connection: Connection) -> None:
    """Let the open transaction read texts in any encoding, where the database may hold them. Raises psycopg.Error."""
    if server_encoding(connection) == "SQL_ASCII":
        connection.execute("SET LOCAL client_encoding TO SQL_ASCII")


def adapt_to_encoding(connection: BaseConnection[Any]) -> None:
    """Make a new connection write and read what the database's encoding allows."""
    encoding = server_encoding(connection)
    if encoding == "SQL_ASCII":
        for kind in _TEXTS:
            connection.adapters.register_loader(kind, _AnyBytesLoader)
    elif encoding not in UTF_8:
        connection.adapters.register_dumper(str, _EscapingDumper)


class _AnyBytesLoader(Loader):
    def load(self, data: Buffer) -> str:
        try:
            return bytes(data).decode()
        except UnicodeDecodeError:
            return NotUtf8(bytes(data).decode(errors="backslashreplace"))


class _EscapingDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        assert self.connection is not None  # noqa: S101 - for the type checker: made by a connection
        return super().dump(escape(obj, server_encoding(self.connection)))
