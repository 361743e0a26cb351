"""Turns a DATABASE_URL as people write it into a connection URI for libpq.

The same Secret often serves an application with another client, for example with Prisma's parameters
`?pgbouncer=true&connection_limit=5&schema=app`, which libpq refuses. Reading the parameters is left to
`url_parameters`, texts that are no URL to `url_mistakes`. Every session speaks UTF-8, whatever the encoding of the
database. No message and no repr holds the password. This module imports the standard library only: both operator and
tick import it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote

from region_tick.url_mistakes import explain_text
from region_tick.url_parameters import DatabaseUrlError, decoded, read_parameters

__all__ = ["DatabaseUrl", "DatabaseUrlError"]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<rest>.*)", re.DOTALL)
_SCHEME = re.compile(r"postgres(?:ql)?(?:\+[a-z0-9_]+)?|pgsql|postgis")
"""The schemes of libpq, of SQLAlchemy with any driver, of PHP and of GeoDjango: all of them mean the same address."""
_ENDPOINT = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|(?:[\w.~-]|%[0-9A-Fa-f]{2})*)(?::(?P<port>[0-9]{0,5}))?"
)
_ENCODE = "where user or password holds one of / ? @ : %, write it percent-encoded (%2F %3F %40 %3A %25)"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A checked DATABASE_URL. The str and the repr hold no password and are safe to log."""

    conninfo: str = field(repr=False)
    """A `postgresql://` URI for libpq, and thus for psycopg.connect. The URI holds the password."""
    address: str
    """`user@host:port/database`, for logs."""
    schema: str = "public"
    """The schema of the region table, unless the table's name has a schema."""
    connection_limit: int | None = None
    """The largest number of connections of one process; None if the URL sets no limit."""

    def __str__(self) -> str:
        return self.address

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Read a URL, with a scheme such as postgresql or postgres. Blanks around the URL are ignored.

        Raises DatabaseUrlError.
        """
        authority, database, query = _split(text.strip())
        credentials, at, endpoints = authority.rpartition("@")
        user, colon, password = credentials.partition(":")
        user, password = (_encoded(part, of="the user or the password") for part in (user, password))
        hosts = ",".join(_endpoint(part) for part in endpoints.split(","))
        place = f"{at}{hosts}/{_encoded(database, of='the name of the database')}"
        parameters = read_parameters(query)
        arguments = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.libpq.items())
        return cls(
            conninfo=f"postgresql://{user}{colon}{password}{place}?{arguments}",
            address=f"{user}{place}",
            schema=parameters.schema,
            connection_limit=parameters.connection_limit,
        )


def _split(text: str) -> tuple[str, str, str]:
    """Return authority, database and query as written. Text that may be a part of the password is in no message."""
    match = _URL.fullmatch(text)
    if match is None or not text.isprintable() or text[-1] in "\"'`":
        mistake = explain_text(text)  # a tick with a usable URL does not pay for this look
        if mistake is not None:
            raise DatabaseUrlError(mistake)
    if match is None:
        raise DatabaseUrlError("DATABASE_URL is not a URL: write postgresql://user:password@host:5432/database")
    if not _SCHEME.fullmatch(match["scheme"].lower()):
        raise DatabaseUrlError(
            f"DATABASE_URL has the scheme {match['scheme']}: write postgresql:// and the database's own address"
        )
    if "@" in match["rest"]:
        raise DatabaseUrlError(f"DATABASE_URL has an @ behind the first / or ?: {_ENCODE}")
    path, _, query = match["rest"].partition("?")
    if "&" in path or "=" in path:
        raise DatabaseUrlError("DATABASE_URL has an & or = in the name of its database: write ? before the parameters")
    return match["authority"], path.removeprefix("/"), query


def _encoded(text: str, *, of: str) -> str:
    """Return `text` decoded and percent-encoded again: libpq refuses a lone %, which Prisma and browsers accept."""
    return quote(decoded(text, of=of), safe="")


def _endpoint(text: str) -> str:
    """Check one `host:port` of a list and return the text. As for libpq, host and port may both be missing."""
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 5432) < 65536:
        raise DatabaseUrlError(
            f"DATABASE_URL has no valid host:port (the port a number below 65536) before its database: {_ENCODE}"
        )
    return text
