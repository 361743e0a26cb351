"""Turns a DATABASE_URL as people write it into a connection URI for libpq.

The same Secret often serves an application with Prisma, and libpq refuses Prisma's parameters, for example
`?pgbouncer=true&connection_limit=5&schema=app`. This module reads and removes Prisma's parameters and keeps libpq's
parameters. Any other parameter is an error, because a misspelt `sslmode` must not pass in silence. No message and no
repr holds the password. This module imports the standard library only: both operator and tick import it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_to_bytes

DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""The values of timeout parameters that a URL omits or sets to 0: no wait for a dead server lasts for ever.

All values are seconds, except tcp_user_timeout and keepalives_count: milliseconds and a number of probes.
"""

LIBPQ = frozenset(
    """
    application_name channel_binding client_encoding connect_timeout dbname fallback_application_name gssdelegation
    gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname
    load_balance_hosts max_protocol_version min_protocol_version oauth_client_id oauth_client_secret oauth_issuer
    oauth_scope options passfile password port replication require_auth requirepeer scram_client_key
    scram_server_key service ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode sslcompression
    sslcrl sslcrldir sslkey sslkeylogfile sslmode sslnegotiation sslpassword sslrootcert sslsni target_session_attrs
    tcp_user_timeout user
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""The parameters of libpq 18 (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS)."""

PRISMA = frozenset(
    """
    connection_limit max_connection_lifetime max_idle_connection_lifetime pgbouncer pool_timeout schema
    single_use_connections socket_timeout sslaccept sslidentity statement_cache_size
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""Prisma's own parameters (https://www.prisma.io/docs/orm/overview/databases/postgresql). `_translate_tls` handles TLS.
"""

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<rest>.*)", re.DOTALL)
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_ENDPOINT = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|(?:[\w.~-]|%[0-9A-Fa-f]{2})*)(?::(?P<port>[0-9]{0,5}))?"
)
_ENCODE = "where user or password holds one of / ? @ : %, write it percent-encoded (%2F %3F %40 %3A %25)"


class DatabaseUrlError(ValueError):
    """A DATABASE_URL cannot be used. The message says why and what to write, and never holds the password."""


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
        """Read a URL with the scheme postgresql, postgres or postgresql+psycopg. Blanks around the URL are ignored.

        Raises DatabaseUrlError.
        """
        authority, database, query = _split(text.strip())
        credentials, at, endpoints = authority.rpartition("@")
        user, colon, password = credentials.partition(":")
        user, password = (_encoded(part, of="the user or the password") for part in (user, password))
        hosts = ",".join(_endpoint(part) for part in endpoints.split(","))
        place = f"{at}{hosts}/{_encoded(database, of='the name of the database')}"
        parameters = _parameters(query)
        libpq_parameters = DEFAULTS | _translate_tls(parameters)
        arguments = "&".join(f"{name}={quote(value, safe='')}" for name, value in libpq_parameters.items())
        return cls(
            conninfo=f"postgresql://{user}{colon}{password}{place}?{arguments}",
            address=f"{user}{place}",
            schema=_schema(parameters.get("schema", "public")),
            connection_limit=_whole_number(parameters, "connection_limit", at_least=1),
        )


def _split(text: str) -> tuple[str, str, str]:
    """Return authority, database and query as written. Text that may be a part of the password is in no message."""
    match = _URL.fullmatch(text)
    if match is None:
        raise DatabaseUrlError("DATABASE_URL is not a URL: write postgresql://user:password@host:5432/database")
    if match["scheme"].lower() not in _SCHEMES:
        raise DatabaseUrlError(
            f"DATABASE_URL has the scheme {match['scheme']}: write postgresql:// and the database's own address"
        )
    if "@" in match["rest"]:
        raise DatabaseUrlError(f"DATABASE_URL has an @ behind the first / or ?: {_ENCODE}")
    path, _, query = match["rest"].partition("?")
    return match["authority"], path.removeprefix("/"), query


def _encoded(text: str, *, of: str) -> str:
    """Return `text` decoded and percent-encoded again: libpq refuses a lone %, which Prisma and browsers accept."""
    raw = unquote_to_bytes(text)
    if any(byte < 0x20 for byte in raw):
        raise DatabaseUrlError(f"DATABASE_URL has a control character in {of}: remove it (a line break, perhaps?)")
    return quote(raw, safe="")


def _endpoint(text: str) -> str:
    """Check one `host:port` of a list and return the text. As for libpq, host and port may both be missing."""
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 5432) < 65536:
        raise DatabaseUrlError(
            f"DATABASE_URL has no valid host:port (the port a number below 65536) before its database: {_ENCODE}"
        )
    return text


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name not in LIBPQ | PRISMA:
            raise DatabaseUrlError(
                f"DATABASE_URL has the parameter {name!r}, which neither libpq nor Prisma knows: correct or remove it"
            )
        parameters[name] = unquote(_encoded(value, of=f"the parameter {name}"))
    for name in parameters.keys() & DEFAULTS.keys():
        if _whole_number(parameters, name, at_least=0) == 0:  # for libpq, 0 means to wait for ever
            parameters[name] = DEFAULTS[name]
    return parameters


def _translate_tls(parameters: dict[str, str]) -> dict[str, str]:
    """Return libpq's parameters, with Prisma's TLS parameters translated.

    In Prisma's URLs, sslcert is the server's certificate authority. In libpq's URLs, sslcert is the client's
    certificate and needs an sslkey. Prisma's `sslaccept=strict` verifies the server, with the system's certificate
    authorities if the URL names none.
    """
    if "sslidentity" in parameters:
        raise DatabaseUrlError(
            "DATABASE_URL has sslidentity, a PKCS#12 file, which libpq cannot read: write sslcert and sslkey (PEM)"
        )
    kept = {name: value for name, value in parameters.items() if name in LIBPQ}
    if "sslcert" in kept and "sslkey" not in kept:
        kept.setdefault("sslrootcert", kept.pop("sslcert"))
    if parameters.get("sslaccept") == "strict":
        kept |= {"sslmode": "verify-full", "sslrootcert": kept.get("sslrootcert", "system")}
    return kept


def _schema(name: str) -> str:
    if not 0 < len(name.encode()) < 64:
        raise DatabaseUrlError(f"DATABASE_URL has schema={name!r}: a Postgres name has 1 to 63 bytes")
    return name


def _whole_number(parameters: dict[str, str], name: str, *, at_least: int) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if re.fullmatch("[0-9]{1,9}", text) is None or int(text) < at_least:
        raise DatabaseUrlError(f"DATABASE_URL has {name}={text}: write a whole number, at least {at_least}")
    return int(text)
