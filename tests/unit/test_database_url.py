"""What people write in DATABASE_URL, against what libpq itself makes of the outcome."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import pq

from region_tick.database_url import DatabaseUrl, DatabaseUrlError
from region_tick.url_parameters import DEFAULTS, LIBPQ, OTHER_CLIENTS, PRISMA

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = st.text(
    st.characters(codec="utf-8", min_codepoint=0x20, exclude_categories=("Cc", "Cs")), min_size=1, max_size=12
)
PASSWORD = "s3cr3t"


def understood(conninfo: str) -> dict[str, str]:
    """Return what libpq reads in a conninfo."""
    options = pq.Conninfo.parse(conninfo.encode())
    return {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}


OURS = DEFAULTS | {"client_encoding": "utf8"}


def read(url: str) -> dict[str, str]:
    """Return what libpq reads in the conninfo of a URL, what we add left out."""
    return {key: value for key, value in understood(DatabaseUrl.parse(url).conninfo).items() if OURS.get(key) != value}


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+psycopg", "POSTGRES", "postgresql+asyncpg", "postgres+psycopg2", "postgis"],
)
def test_schemes(scheme: str) -> None:
    expected = {"user": "app", "password": PASSWORD, "host": "db.example", "port": "6432", "dbname": "regions"}
    assert read(f"{scheme}://app:{PASSWORD}@db.example:6432/regions") == expected


def test_prisma_parameters_are_understood_and_not_passed_on() -> None:
    url = DatabaseUrl.parse(
        "postgresql://u:p@h:5432/d?pgbouncer=true&connection_limit=5&schema=app&pool_timeout=20&socket_timeout=9"
        "&statement_cache_size=0&connect_timeout=3&sslmode=require"
    )
    assert (url.schema, url.connection_limit) == ("app", 5)
    kept = understood(url.conninfo)
    assert kept.keys().isdisjoint(PRISMA)
    assert (kept["connect_timeout"], kept["sslmode"]) == ("3", "require")


def test_without_parameters() -> None:
    url = DatabaseUrl.parse("postgresql://u@h/d")
    assert (url.schema, url.connection_limit) == ("public", None)
    assert understood(url.conninfo).items() >= OURS.items()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://", {}),
        ("postgres:///d", {"dbname": "d"}),
        ("  postgres://h/d\n", {"host": "h", "dbname": "d"}),
        ("postgres://h", {"host": "h"}),
        ("postgres://h?sslmode=disable", {"host": "h", "sslmode": "disable"}),
        ("postgres://u@a:1,b:2/d", {"user": "u", "host": "a,b", "port": "1,2", "dbname": "d"}),
        ("postgres://u@[::1]:5433/d", {"user": "u", "host": "::1", "port": "5433", "dbname": "d"}),
        ("postgres://u@%2Frun%2Fpostgresql/d", {"user": "u", "host": "/run/postgresql", "dbname": "d"}),
        ("postgres://u@localhost/d?host=/run/postgresql", {"user": "u", "host": "/run/postgresql", "dbname": "d"}),
        (
            "postgres://u@h/d?application_name=a%20b",
            {"user": "u", "host": "h", "dbname": "d", "application_name": "a b"},
        ),
    ],
)
def test_forms_of_libpq(url: str, expected: dict[str, str]) -> None:
    assert read(url) == expected


@pytest.mark.parametrize("raw", ["p@ss", "p:a:s", "50%off", "100%", "p#x", "[x]", "a+b", "a&b=c"])
def test_passwords_that_prisma_takes_as_they_are(raw: str) -> None:
    assert read(f"postgres://u:{raw}@h/d")["password"] == raw


@given(user=TEXT, password=TEXT, database=TEXT)
def test_encoded_names_and_passwords_arrive(user: str, password: str, database: str) -> None:
    url = f"postgres://{quote(user, safe='')}:{quote(password, safe='')}@h/{quote(database, safe='')}"
    assert read(url) == {"user": user, "password": password, "host": "h", "dbname": database}


@given(
    password=st.text(st.sampled_from("/?#@:%&=[] \\'\"\n\0ä,"), max_size=6),
    place=st.sampled_from(["@h:1/d", "@h", "@h:x/d"]),
)
def test_a_password_as_it_is_arrives_or_is_refused_but_never_shown(password: str, place: str) -> None:
    secret = f"Xk7{password}Zq9"
    try:
        url = DatabaseUrl.parse(f"postgres://u:{secret}{place}?connection_limit=5")
    except DatabaseUrlError as error:
        shown = str(error)
    else:
        assert understood(url.conninfo)["password"] == secret or "%" in secret
        shown = f"{url} {url!r}"
    assert "Xk7" not in shown
    assert "Zq9" not in shown


@pytest.mark.parametrize("name", ["password", "sslpassword"])
def test_a_password_among_the_parameters_is_not_shown(name: str) -> None:
    url = DatabaseUrl.parse(f"postgres://u@h/d?{name}={PASSWORD}")
    assert understood(url.conninfo)[name] == PASSWORD
    assert PASSWORD not in f"{url} {url!r}"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "not a URL: write postgresql://"),
        ("host=h dbname=d", "a list of keywords and values, not a URL"),
        (f"Host=h;Username=u;Password={PASSWORD}", "a list of keywords and values, not a URL"),
        (f'"postgres://u:{PASSWORD}@h/d"', "quotes around it: write the URL alone"),
        (f"'postgres://u:{PASSWORD}@h/d'", "quotes around it"),
        (f"\u201cpostgres://u:{PASSWORD}@h/d\u201d", "quotes around it"),
        (f'postgres://u:{PASSWORD}@h/d?sslmode=require"', "ends with a quote"),
        (f"\ufeffpostgres://u:{PASSWORD}@h/d", "byte order mark: save its file as UTF-8"),
        ("p\0o\0s\0t\0", r"not UTF-8 \(UTF-16, perhaps\?\): save its file as UTF-8"),
        ("postgres://u:p\udcff@h/d", "not UTF-8"),
        (f"psql 'postgres://u:{PASSWORD}@h/d'", "command of psql: write the URL in its quotes alone"),
        (f"psql -d postgres://u:{PASSWORD}@h/d", "command of psql"),
        (f"DATABASE_URL=postgres://u:{PASSWORD}@h/d", "begins with the name of a variable"),
        (f"export DATABASE_URL='postgres://u:{PASSWORD}@h/d'", "begins with the name of a variable"),
        (f'DATABASE_URL: "postgres://u:{PASSWORD}@h/d"', "begins with the name of a variable"),
        (f"- DATABASE_URL=postgres://u:{PASSWORD}@h/d", "begins with the name of a variable"),
        (f"postgres://u:{PASSWORD}@h/d\npostgres://u:{PASSWORD}@h/e", "several lines"),
        (f"jdbc:postgresql://h/d?user=u&password={PASSWORD}", "begins with jdbc: as for Java: write postgresql://"),
        ("cG9zdGdyZXNxbDovL3U6czNjcjN0QGgvZA==", "base64: encode it once, or use the Secret's stringData"),
        ("${DATABASE_URL}", "a placeholder that nobody has filled in"),
        ("{{ .Values.url }}", "a placeholder that nobody has filled in"),
        (f"postgres:u:{PASSWORD}@h/d", "no // behind its scheme"),
        (f"postgres://u:{PASSWORD}@h/d&sslmode=require", r"an & or = in the name of its database: write \? before"),
        (
            f"postgres://u:{PASSWORD}@h/d?schema=public?pgbouncer=true",
            r"a \? in the value of schema: .* write & before pgbouncer=",
        ),
        (f"postgres://u:{PASSWORD}@h/d?schema=public?", r"a \? in the value of schema.*write & before what follows"),
        (f"postgres://u@h/d?schema=app?password={PASSWORD}", "write & before password="),
        (f"postgres://u:{PASSWORD}@h/d?sslmode=require;schema=app", "a ; in the value of sslmode.*& before schema="),
        (f"postgres://u:{PASSWORD}@h/d?sslmode=require&amp;schema=app", "&amp; between its parameters: write & alone"),
        (f"postgres://u:{PASSWORD}@h/d?pgbouncer", "pgbouncer without a value: write pgbouncer=VALUE"),
        (f"postgres://u:{PASSWORD}@h/d?schema=a&schema=b", "schema twice, with different values: remove one"),
        (f"postgres://u:{PASSWORD}@h/d?schema=a&currentSchema=b", "several schemas: write schema once"),
        (f"postgres://u:{PASSWORD}@h/d?currentSchema=a,public", "currentSchema=a,public: write one schema"),
        (f'postgres://u:{PASSWORD}@h/d?schema="app"&sslmode=require', "write the schema's name alone, as schema="),
        (f"postgres://u:{PASSWORD}@h/d?schema=$SCHEMA", "write the schema's name alone"),
        (f"postgres://u:{PASSWORD}@h/d?schema=%20app", "write the schema's name alone"),
        (f"postgres://u:{PASSWORD}@h/d?schema=region_tick", "holds no table of yours: write your own schema"),
        (f"postgres://u:{PASSWORD}@h/d?schema=pg_catalog", "holds no table of yours: write your own schema"),
        (f"postgres://u:{PASSWORD}@h/d?sslmode=required", "sslmode=required: write sslmode= with one of disable allow"),
        (f"postgres://u:{PASSWORD}@h/d?ssl=maybe", "ssl=maybe: write sslmode= with one of true"),
        (f"postgres://u:{PASSWORD}@h/d?channel_binding=1", "channel_binding=1: write channel_binding= with one of"),
        (f"postgres://u:{PASSWORD}@h/d?sslfactory=org.x.Y", "sslfactory, a Java class: write sslmode=require"),
        (f"postgres://u:{PASSWORD}@h/d?role=app", "role, a role to change to: connect as that role"),
        (f"postgres://u@h/d?password=a&{PASSWORD}", "no client is known to have.*write %26"),
        (f"mysql://u:{PASSWORD}@h/d", "scheme mysql: write postgresql://"),
        (f"prisma+postgres://u:{PASSWORD}@h/d", "scheme prisma\\+postgres"),
        (f"postgres://u:{PASSWORD}/x@h/d", "percent-encoded"),
        (f"postgres://u:{PASSWORD}?x@h/d", "percent-encoded"),
        (f"postgres://u:{PASSWORD}", "no valid host:port"),
        (f"postgres://u:{PASSWORD}@h:65536/d", "no valid host:port"),
        (f"postgres://u:{PASSWORD}@h:0/d", "no valid host:port"),
        (f"postgres://u:{PASSWORD}@h o/d", "no valid host:port"),
        (f"postgres://u:{PASSWORD}%00@h/d", "control character in the user or the password"),
        (f"postgres://u:{PASSWORD}@h/d%0A", "control character in the name of the database"),
        (f"postgres://u:{PASSWORD}@h/d?options=%00", "control character in the parameter options"),
        (
            f"postgres://u:{PASSWORD}@h/d?sslmod=require",
            r"parameter 'sslmod'.* \(sslmode, perhaps\?\): correct or remove it",
        ),
        (f"postgres://u:{PASSWORD}@h/d?SSLMODE=require", r"parameter 'SSLMODE'.* \(sslmode, perhaps\?\)"),
        (
            f"postgres://u:{PASSWORD}@h/d?verbose=1",
            "parameter 'verbose', which neither libpq nor Prisma knows: correct",
        ),
        (
            f"postgres://u:{PASSWORD}@h/d?connection_limit=many",
            "connection_limit=many: write a whole number, at least 1",
        ),
        (f"postgres://u:{PASSWORD}@h/d?connection_limit=0", "connection_limit=0: write a whole number, at least 1"),
        (f"postgres://u:{PASSWORD}@h/d?connection_limit=٣", "whole number"),
        (f"postgres://u:{PASSWORD}@h/d?connect_timeout=-1", "connect_timeout=-1: write a whole number, at least 0"),
        (f"postgres://u:{PASSWORD}@h/d?connect_timeout=", "connect_timeout=: write a whole number"),
        (
            f"postgres://u:{PASSWORD}@h/d?schema=",
            "schema='': write the schema of the table of regions, a name of 1 to 63 bytes",
        ),
        (f"postgres://u:{PASSWORD}@h/d?schema={'ä' * 32}", "1 to 63 bytes"),
        (f"postgres://u:{PASSWORD}@h/d?sslidentity=client.p12", "PKCS#12.*write sslcert and sslkey"),
    ],
)
def test_errors_name_the_remedy_and_not_the_password(url: str, message: str) -> None:
    with pytest.raises(DatabaseUrlError, match=message) as caught:
        DatabaseUrl.parse(url)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslmode=require", {"sslmode": "require"}),
        ("sslcert=ca.pem&sslmode=verify-ca", {"sslrootcert": "ca.pem", "sslmode": "verify-ca"}),
        ("sslcert=me.pem&sslkey=me.key", {"sslcert": "me.pem", "sslkey": "me.key"}),
        ("sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("sslmode=require&sslaccept=strict&sslcert=ca.pem", {"sslmode": "verify-full", "sslrootcert": "ca.pem"}),
        ("sslmode=require&sslaccept=accept_invalid_certs", {"sslmode": "require"}),
        ("uselibpqcompat=true&sslmode=prefer", {}),
        ("sslmode=no-verify", {"sslmode": "require"}),
        ("ssl=true", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("ssl=1&sslrootcert=ca.pem", {"sslmode": "verify-full", "sslrootcert": "ca.pem"}),
        ("ssl=true&sslmode=require", {"sslmode": "require"}),
        ("ssl=no-verify", {"sslmode": "require"}),
        ("ssl=require", {"sslmode": "require"}),
        ("ssl=false", {"sslmode": "disable"}),
    ],
)
def test_tls_in_the_words_of_each_client(query: str, expected: dict[str, str]) -> None:
    assert {"sslmode": "prefer"} | read(f"postgres://h?{query}") == {"host": "h", "sslmode": "prefer"} | expected


@pytest.mark.parametrize("name", ["schema", "currentSchema", "search_path", "schema_search_path"])
def test_each_clients_word_for_the_schema(name: str) -> None:
    assert DatabaseUrl.parse(f"postgres://h/d?{name}=app").schema == "app"


def test_every_session_speaks_utf8() -> None:
    assert understood(DatabaseUrl.parse("postgres://h/d?client_encoding=latin1").conninfo)["client_encoding"] == "utf8"


PROVIDERS = (
    "postgresql://postgres.ref:{}@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true",
    "postgres://postgres.ref:{}@aws-0-us-east-1.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x",
    "postgres://postgres:{}@db.ref.supabase.co:6543/postgres?pgbouncer=true&workaround=supabase-pooler.vercel",
    "postgresql://u:{}@ep-cool-1-pooler.us-east-2.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
    "postgresql://u:{}@ep-cool-1.us-east-2.aws.neon.tech/neondb?options=endpoint%3Dep-cool-1",
    "postgres://u:{}@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d?ssl=true",
    "postgresql://doadmin:{}@db-1-do-user-1-0.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
    "postgres://user%40server:{}@server.postgres.database.azure.com:5432/postgres?sslmode=require",
    "postgresql://u:{}@free-tier.cockroachlabs.cloud:26257/defaultdb?sslmode=verify-full&options=--cluster%3Dx-1",
    "postgresql://u:{}@/d?host=/cloudsql/project:region:instance",
    "postgresql://u:{}@db.x.eu-west-1.rds.amazonaws.com/d?sslmode=verify-full&sslrootcert=/certs/global-bundle.pem",
    "postgresql://app:{}@127.0.0.1:5432/app?serverVersion=16&charset=utf8",
    "postgresql://johndoe:{}@localhost:5432/mydb?schema=public&connection_limit=5&socket_timeout=3",
    "postgresql://app:{}@cluster-rw.database:5432/app",
    "postgresql+asyncpg://app:{}@db/app?prepared_statement_cache_size=0",
    "postgres://u:{}@h:5432/d?sslmode=disable&pool_max_conns=10&default_query_exec_mode=simple_protocol",
)
VALUES = {
    "schema": "app", "currentSchema": "app", "search_path": "app", "schema_search_path": "app", "port": "5433",
    "connection_limit": "5", "sslmode": "require", "ssl": "true", "channel_binding": "prefer", "sslrootcert": "ca.pem",
    "gssencmode": "disable", "sslnegotiation": "postgres", "sslcertmode": "allow", "load_balance_hosts": "random",
    "target_session_attrs": "any", "ssl_min_protocol_version": "TLSv1.2", "ssl_max_protocol_version": "TLSv1.3",
    "keepalives": "1", "sslcompression": "0", "sslsni": "1", "gssdelegation": "0", "options": "-c%20geqo%3Doff",
    **dict.fromkeys(DEFAULTS, "7"),
}  # fmt: skip
REFUSED = {"sslidentity", "replication"}
NAMES = sorted((LIBPQ | PRISMA | OTHER_CLIENTS) - REFUSED - {"password", "sslpassword"})


@given(st.sampled_from(PROVIDERS), st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
def test_what_providers_and_clients_write_is_understood(provider: str, names: list[str]) -> None:
    url = provider.format(PASSWORD)
    for name in names:
        if f"{name}=" not in url and not (name in SCHEMAS and any(f"{other}=" in url for other in SCHEMAS)):
            url += f"{'&' if '?' in url else '?'}{name}={VALUES.get(name, '1')}"
    read_url = DatabaseUrl.parse(url)
    assert understood(read_url.conninfo)["password"] == PASSWORD
    assert read_url.schema in ("app", "public")


SCHEMAS = {"schema", "currentSchema", "search_path", "schema_search_path"}
SPOILS: dict[str, Callable[[str, str], str]] = {
    "a letter lost": lambda name, value: f"{name[:1]}{name[2:]}={value}",
    "a letter twice": lambda name, value: f"{name[:2]}{name[1:]}={value}",
    "capitals": lambda name, value: f"{name.upper()}={value}",
    "no value": lambda name, _: name,
    "a second ?": lambda name, value: f"{name}={value}?pgbouncer=true",
    "a semicolon": lambda name, value: f"{name}={value};pgbouncer=true",
    "&amp;": lambda name, value: f"{name}={value}&amp;pgbouncer=true",
    "quotes": lambda name, value: f'{name}="{value}"&pgbouncer=true',
    "two =": lambda name, value: f"{name}=={value}",
    "a blank": lambda name, value: f"{name}={value}%20",
    "a line's end": lambda name, value: f"{name}={value}%0A&pgbouncer=true",
    "twice": lambda name, value: f"{name}={value}&{name}=other",
    "a placeholder": lambda name, _: f"{name}=${{{name.upper()}}}",
    "nothing": lambda name, _: f"{name}=",
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_url_that_is_spoiled_in_one_place_is_understood_or_refused_with_a_remedy(provider: str, spoil: str) -> None:
    for name in NAMES[PROVIDERS.index(provider) % 4 :: 4]:
        spoiled = SPOILS[spoil](name, VALUES.get(name, "1"))
        url = provider.format(PASSWORD)
        url += ("&" if "?" in url else "?") + spoiled
        try:
            read_url = DatabaseUrl.parse(url)
        except DatabaseUrlError as error:
            message = str(error)
            assert spoiled.partition("=")[0].partition("&")[0] in message or "&amp;" in message or "schemas" in message
            assert re.search(r"\b(write|correct|remove)\b", message), message
            assert PASSWORD not in message
        else:
            assert understood(read_url.conninfo)["password"] == PASSWORD
            assert PASSWORD not in f"{read_url} {read_url!r}"
            assert read_url.schema in ("app", "public")


@pytest.mark.parametrize("name", DEFAULTS)
def test_no_wait_for_ever(name: str) -> None:
    assert understood(DatabaseUrl.parse(f"postgres://h/d?{name}=0").conninfo)[name] == DEFAULTS[name]
    assert understood(DatabaseUrl.parse(f"postgres://h/d?{name}=7").conninfo)[name] == "7"


def test_our_list_of_parameters_is_libpqs() -> None:
    assert {option.keyword.decode() for option in pq.Conninfo.get_defaults()} == LIBPQ


def test_needs_the_standard_library_only() -> None:
    script = "import sys, region_tick.database_url; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "region_tick" in loaded
    assert {"psycopg", "urllib3", "region_operator"}.isdisjoint(loaded)
