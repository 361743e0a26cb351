"""Reads the parameters of a DATABASE_URL, as libpq, Prisma, node-postgres, other clients and poolers write them.

One Secret often serves several clients, and nobody can edit a Secret that an integration writes. So the parameters that
other clients' documentation tells people to write are understood: libpq's are kept, a few are translated, and tuning
of another client is left out. Any other parameter is an error, because a misspelt `sslmode` must not pass in silence.
No message holds the value of a secret parameter, nor a name that may be the rest of a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

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

OTHER_CLIENTS = frozenset(
    """
    supa workaround
    uselibpqcompat ssl statement_timeout query_timeout lock_timeout idle_in_transaction_session_timeout
    connectionTimeoutMillis idleTimeoutMillis keepAlive keepAliveInitialDelayMillis max min maxUses maxLifetimeSeconds
    allowExitOnIdle encoding
    connection_timeout idle_timeout max_lifetime prepare fetch_types
    currentSchema ApplicationName connectTimeout loginTimeout socketTimeout tcpKeepAlive prepareThreshold
    preparedStatementCacheQueries reWriteBatchedInserts stringtype
    pool_max_conns pool_min_conns pool_max_conn_lifetime pool_max_conn_lifetime_jitter pool_max_conn_idle_time
    pool_health_check_period default_query_exec_mode statement_cache_capacity description_cache_capacity
    statement_cache_mode statement-cache-capacity binary_parameters search_path timezone datestyle intervalstyle
    pool pool_size max_overflow pool_recycle pool_pre_ping checkout_timeout prepared_statements statement_limit
    advisory_locks schema_search_path command_timeout prepared_statement_cache_size conn_max_age conn_health_checks
    serverVersion charset x-migrations-table x-multi-statement x-statement-timeout
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""Parameters of Supabase's and Vercel's poolers, node-postgres, postgres.js, JDBC, pgx and sqlx, and of the frameworks
Rails, SQLAlchemy, Django, Doctrine and golang-migrate, in this order. Each is translated, or tunes the other client and
means nothing here: the operator and the ticks have time limits, prepare no statement, and set a session's formats.
"""

_SCHEMA_NAMES = ("schema", "currentSchema", "search_path", "schema_search_path")

_REMEDIES = {
    "sslidentity": "a PKCS#12 file, which libpq cannot read: write sslcert and sslkey (PEM)",
    "sslfactory": "a Java class: write sslmode=require, or sslmode=verify-full to have the certificate checked",
    "targetServerType": "JDBC's: write target_session_attrs=primary",
    "role": "a role to change to: connect as that role, or ALTER ROLE ... SET role",
    "replication": "for replication, where queries do not work: remove it",
}

_SSLMODES = "disable allow prefer require verify-ca verify-full no-verify"
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_VALUES = {
    "sslmode": _SSLMODES,
    "ssl": " ".join((*_TRUE, *_FALSE, _SSLMODES)),
    "channel_binding": "disable prefer require",
    "gssencmode": "disable prefer require",
    "sslnegotiation": "postgres direct",
    "sslcertmode": "disable allow require",
    "load_balance_hosts": "disable random",
    "target_session_attrs": "any read-write read-only primary standby prefer-standby",
    "ssl_min_protocol_version": "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3",
    "ssl_max_protocol_version": "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3",
    **dict.fromkeys(("keepalives", "sslcompression", "sslsni", "gssdelegation"), "0 1"),
}
"""The values that can be used. libpq itself would refuse another value only at the connection."""

_SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_SYSTEM_SCHEMAS = re.compile(r"pg_.*|information_schema|region_tick")


class DatabaseUrlError(ValueError):
    """A DATABASE_URL cannot be used. The message says why and what to write, and never holds the password."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the parameters of a URL say. `libpq` are libpq's own parameters, decoded."""

    libpq: dict[str, str]
    schema: str
    connection_limit: int | None


def read_parameters(query: str) -> Parameters:
    """Read what stands behind the `?` of a URL. Raises DatabaseUrlError."""
    pairs = _decode(query)
    for name, value in pairs.items():
        _check(name, value)
    schemas = {pairs[name] for name in _SCHEMA_NAMES if name in pairs}
    if len(schemas) > 1:
        raise DatabaseUrlError(f"DATABASE_URL names several schemas: write {_SCHEMA_NAMES[0]} once and no other")
    named = {"application_name": pairs["ApplicationName"]} if "ApplicationName" in pairs else {}
    return Parameters(
        libpq=DEFAULTS | named | _translate_tls(pairs) | {"client_encoding": "utf8"},
        schema=schemas.pop() if schemas else "public",
        connection_limit=int(pairs["connection_limit"]) if "connection_limit" in pairs else None,
    )


def decoded(text: str, *, of: str) -> bytes:
    """Return the bytes of a percent-encoded text. `of` names the text. Raises DatabaseUrlError."""
    raw = unquote_to_bytes(text)
    if any(byte < 0x20 for byte in raw):
        raise DatabaseUrlError(f"DATABASE_URL has a control character in {of}: remove it (a line break, perhaps?)")
    return raw


def _decode(query: str) -> dict[str, str]:
    """Split a query into names and values. Raises DatabaseUrlError for what is no known name with one value."""
    known = LIBPQ | PRISMA | OTHER_CLIENTS | _REMEDIES.keys()
    has_secret = any(pair.partition("=")[0] in _SECRETS for pair in re.split("[&?;]", query))
    pairs: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, equals, text = pair.partition("=")
        if name not in known:
            raise DatabaseUrlError(_explain_name(name, known, is_secret=has_secret))
        if not equals:
            raise DatabaseUrlError(f"DATABASE_URL has the parameter {name} without a value: write {name}=VALUE")
        for separator in "?;":
            following = text.partition(separator)[2].partition("=")[0]
            if following in known or (separator == "?" and separator in text):
                what = f"{following}=" if following in known else "what follows"
                raise DatabaseUrlError(
                    f"DATABASE_URL has a {separator} in the value of {name}: one ? begins the parameters, & separates"
                    f" them, so write & before {what}, or %3F for a question mark that belongs to the value"
                )
        value = decoded(text, of=f"the parameter {name}").decode(errors="replace")
        if pairs.setdefault(name, value) != value:
            raise DatabaseUrlError(f"DATABASE_URL has the parameter {name} twice, with different values: remove one")
    return pairs


def _explain_name(name: str, known: frozenset[str], *, is_secret: bool) -> str:
    if name.startswith("amp;"):
        return "DATABASE_URL has &amp; between its parameters: write & alone"
    if is_secret or re.fullmatch(r"[A-Za-z][\w.-]{0,40}", name, re.ASCII) is None:
        return (
            "DATABASE_URL has a parameter that no client is known to have: correct or remove it, and where a value has"
            " an &, write %26"
        )
    from difflib import get_close_matches  # only a wrong URL pays for the import

    spellings = {other.lower(): other for other in sorted(known)}
    near = get_close_matches(name.lower(), spellings, n=1, cutoff=0.75)
    meant = f" ({spellings[near[0]]}, perhaps?)" if near else ""
    return f"DATABASE_URL has the parameter {name!r}, which neither libpq nor Prisma knows{meant}: correct or remove it"


def _check(name: str, value: str) -> None:
    """Raise DatabaseUrlError for a value that libpq or the operator could not use."""
    if name in _REMEDIES:
        raise DatabaseUrlError(f"DATABASE_URL has {name}, {_REMEDIES[name]}")
    if name in _SCHEMA_NAMES:
        _check_schema(name, value)
    if name in DEFAULTS or name == "connection_limit":
        least = 0 if name in DEFAULTS else 1
        if re.fullmatch("[0-9]{1,9}", value) is None or int(value) < least:
            raise DatabaseUrlError(f"DATABASE_URL has {name}={value}: write a whole number, at least {least}")
    if name in _VALUES and value.lower() not in _VALUES[name].lower().split():
        libpq_name = "sslmode" if name == "ssl" else name
        raise DatabaseUrlError(f"DATABASE_URL has {name}={value}: write {libpq_name}= with one of {_VALUES[name]}")


def _check_schema(name: str, value: str) -> None:
    if not 0 < len(value.encode()) < 64:
        raise DatabaseUrlError(
            f"DATABASE_URL has {name}={value!r}: write the schema of the table of regions, a name of 1 to 63 bytes"
        )
    if "," in value:
        raise DatabaseUrlError(f"DATABASE_URL has {name}={value}: write one schema, the one with the table of regions")
    bare = value.strip("\"'` ")
    if bare != value or re.search(r"[\"'`;&=<>{}$\\/?]", value):
        raise DatabaseUrlError(f"DATABASE_URL has {name}={value!r}: write the schema's name alone, as {name}=public")
    if _SYSTEM_SCHEMAS.fullmatch(value):
        raise DatabaseUrlError(f"DATABASE_URL has {name}={value}, which holds no table of yours: write your own schema")


def _translate_tls(pairs: dict[str, str]) -> dict[str, str]:
    """Return libpq's parameters, with the TLS parameters of other clients translated.

    In Prisma's URLs, sslcert is the server's certificate authority. In libpq's URLs, sslcert is the client's
    certificate and needs an sslkey. Prisma's `sslaccept=strict` and node-postgres' `ssl=true` verify the server, with
    the system's certificate authorities if the URL names none. node-postgres' `no-verify` encrypts and verifies
    nothing, as libpq's `require` does. An sslmode goes before `ssl`.
    """
    kept = {name: value for name, value in pairs.items() if name in LIBPQ}
    for name in kept.keys() & DEFAULTS.keys():
        if int(kept[name]) == 0:  # for libpq, 0 means to wait for ever
            kept[name] = DEFAULTS[name]
    if "sslcert" in kept and "sslkey" not in kept:
        kept.setdefault("sslrootcert", kept.pop("sslcert"))
    ssl = pairs.get("ssl", "").lower()
    strict = pairs.get("sslaccept") == "strict" or (ssl in _TRUE and "sslmode" not in kept)
    if ssl and ssl not in _TRUE:
        kept.setdefault("sslmode", "disable" if ssl in _FALSE else ssl)
    if "sslmode" in kept:
        kept["sslmode"] = "require" if kept["sslmode"].lower() == "no-verify" else kept["sslmode"].lower()
    if strict:
        kept |= {"sslmode": "verify-full", "sslrootcert": kept.get("sslrootcert", "system")}
    return kept
