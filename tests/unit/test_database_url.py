"""What people write in DATABASE_URL, against what libpq itself makes of the outcome."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import pq

from region_tick.database_url import DEFAULTS, LIBPQ, PRISMA, DatabaseUrl, DatabaseUrlError

TEXT = st.text(
    st.characters(codec="utf-8", min_codepoint=0x20, exclude_categories=("Cc", "Cs")), min_size=1, max_size=12
)
PASSWORD = "s3cr3t"


def understood(conninfo: str) -> dict[str, str]:
    """Return what libpq reads in a conninfo."""
    options = pq.Conninfo.parse(conninfo.encode())
    return {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}


def read(url: str) -> dict[str, str]:
    """Return what libpq reads in the conninfo of a URL, our defaults left out."""
    return {
        key: value for key, value in understood(DatabaseUrl.parse(url).conninfo).items() if DEFAULTS.get(key) != value
    }


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "POSTGRES"])
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
    assert understood(url.conninfo).items() >= DEFAULTS.items()


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
        ("host=h dbname=d", "not a URL"),
        (f'"postgres://u:{PASSWORD}@h/d"', "not a URL"),
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
        (f"postgres://u:{PASSWORD}@h/d?sslmod=require", "parameter 'sslmod'.*correct or remove it"),
        (
            f"postgres://u:{PASSWORD}@h/d?connection_limit=many",
            "connection_limit=many: write a whole number, at least 1",
        ),
        (f"postgres://u:{PASSWORD}@h/d?connection_limit=0", "connection_limit=0: write a whole number, at least 1"),
        (f"postgres://u:{PASSWORD}@h/d?connection_limit=٣", "whole number"),
        (f"postgres://u:{PASSWORD}@h/d?connect_timeout=-1", "connect_timeout=-1: write a whole number, at least 0"),
        (f"postgres://u:{PASSWORD}@h/d?connect_timeout=", "connect_timeout=: write a whole number"),
        (f"postgres://u:{PASSWORD}@h/d?schema=", "schema='': a Postgres name has 1 to 63 bytes"),
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
    ],
)
def test_tls_in_prismas_words_and_libpqs(query: str, expected: dict[str, str]) -> None:
    assert read(f"postgres://h?{query}") == {"host": "h"} | expected


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
