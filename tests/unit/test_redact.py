"""Secrets that are taken out of kept texts: those of URLs, those with a name, and those of the process's variables."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.excerpts import MARGIN
from region_tick.redact import REDACTED, SHORTEST, redact, redact_parts, secrets_of

VARIABLES = {
    "DATABASE_URL": "postgresql://tick:pa55%40word@db:5432/app?sslmode=require",
    "YOUTUBE_API_KEY": "AIza-0123456789",
    "SIGNING_KEY": "-----BEGIN\nMIIEvQIBADANBg\n-----END",
    "PASSWORD": "short",
    "PWD": "/home/region",
    "REGION_CODE": "ch-zrh",
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "connect to postgresql://tick:pa55%40word@db:5432/app failed",
            "connect to postgresql://***@db:5432/app failed",
        ),
        ("password authentication failed: pa55@word", "password authentication failed: ***"),
        ("{'url': 'https://ghp_abcdef@github.com/x'}", "{'url': 'https://***@github.com/x'}"),
        ("at postgres://u:p/hunter2@h/db and redis://:a?hunter2@h", "at postgres://***@h/db and redis://***@h"),
        (r"at https:\/\/u:hunter2@h\/x", r"at https:\/\/***@h\/x"),
        ("GET https://example.org/feed?key=AIza-0123456789&page=2", "GET https://example.org/feed?key=***&page=2"),
        (
            "GET 'https://example.org/feed?access_token=abc&page=2'",
            "GET 'https://example.org/feed?access_token=***&page=2'",
        ),
        ("{'Authorization': 'Bearer abc.def', 'Accept': '*/*'}", "{'Authorization': '***', 'Accept': '*/*'}"),
        ('{"client_secret": "abc", "n": 1}', '{"client_secret": "***", "n": 1}'),
        ('{"password":["a b"],"token":7,"n":1}', '{"password":***,"token":***,"n":1}'),
        ("password=hunter2 attempt=2", "password=*** attempt=2"),
        ("password=hunter2;a&b,c] attempt=2", "password=*** attempt=2"),
        ("--password hunter2 --verbose", "--password *** --verbose"),
        ("Authorization: ApiKey hunter2 x\nAccept: */*", "Authorization: ***\nAccept: */*"),
        (
            "b'GET /\\r\\nAuthorization: OAuth hunter2\\r\\nAccept: */*'",
            "b'GET /\\r\\nAuthorization: ***\\r\\nAccept: */*'",
        ),
        ('curl -H "X-Api-Key: hunter 2" https://example.org', 'curl -H "X-Api-Key: ***" https://example.org'),
        ("Cookie: session=hunter2; theme=dark\nHost: a", "Cookie: ***\nHost: a"),
        ("sent Bearer  hunter2 to it", "sent Bearer  *** to it"),
        (
            "DETAIL:  Key (api_token)=(hunter2 (new)) already exists.",
            "DETAIL:  Key (api_token)=(***) already exists.",
        ),
        ("Key (lower(api_token))=(hunter2) already", "Key (lower(api_token))=(***) already"),
        ("Key (region_id, api_token)=(5, hunter2) already", "Key (region_id, api_token)=(***) already"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nend", "***\nend"),
        ("cut: -----BEGIN PRIVATE KEY-----\nMIIE\nvQ", "cut: ***"),
        ("password='never closed\nthe next line", "password=***\nthe next line"),
        ('{"password": "never closed\nthe next line', '{"password": ***\nthe next line'),
        ('{"password": ["never", "closed\nthe next line', '{"password": ***\nthe next line'),
        ("token=password='b c' n=1", "token=***' n=1"),
        ("line two is MIIEvQIBADANBg", "line two is ***"),
        ("h\0u\0n\0t\0e\0r2 password=h\0i", "hunter2 password=***"),
    ],
)
def test_what_is_taken_out(text: str, kept: str) -> None:
    assert redact(text, secrets_of(VARIABLES)) == kept


@pytest.mark.parametrize(
    "text",
    [
        "ticks: ch-zrh in /home/region, short",
        "mailto:a@b and https://example.org/a@b?q=c@d and https://example.org:8080/a@b",
        'connection to server at "db", port 5432 failed: FATAL: password authentication failed for user "tick"',
        "token expired; the access token is missing, bearer token refused",
        'WWW-Authenticate: Bearer realm="example", error="invalid_token"',
        "jwt.exceptions.ExpiredSignatureError: Signature has expired",
        "token=None, password=null",
        'duplicate key value violates unique constraint "region_pkey"',
        "DETAIL:  Key (region_id, key)=(5, 7) already exists.",
        "key: 7, primary_key=5, secretName: region-tick-database, PASSWORD_FILE=/run/pw, passed=3, author=me, bypass=1",
        'relation "region_tick.upstream" does not exist',
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    ],
)
def test_what_stays(text: str) -> None:
    assert redact(text, secrets_of(VARIABLES | {"PGPASSWORD": "region_tick"})) == text


@pytest.mark.parametrize(
    ("name", "value", "text", "kept"),
    [
        ("API_KEY_HEADER", "X-Api-Key", "sent X-Api-Key: hunter2", "sent X-Api-Key: ***"),
        ("TOKEN", "X-Api-Key", "sent X-Api-Key: hunter2", "sent ***: ***"),
        ("TOKEN_PARAM", "access_token", "/feed?access_token=hunter2", "/feed?access_token=***"),
        ("PASSWORD_FIELD", "password", "password=hunter2", "password=***"),
        ("PASSWORD", "password", "password failed: password=password", "password failed: password=***"),
        (
            "DATABASE_URL",
            "postgresql://app_user:app_user@db/x",
            "app_user cannot read postgresql://app_user:app_user@db/x",
            "app_user cannot read postgresql://***@db/x",
        ),
    ],
)
def test_a_variables_value_neither_hides_the_name_of_a_secret_nor_an_ordinary_word(
    name: str, value: str, text: str, kept: str
) -> None:
    assert redact(text, secrets_of({name: value})) == kept


@pytest.mark.parametrize(
    "name",
    [
        *(
            "DB_PASS",
            "SMTP_PASS",
            "PASSPHRASE",
            "KEY",
            "key",
            "signingKey",
            "tls.key",
            "private-key",
            "ENCRYPTION_KEYS",
        ),
        *("PRIVATE_KEY_PEM", "GITHUB_PAT", "REDIS_AUTH", "JWT", "dbPwd", "COOKIE", "APP_TOKEN", "HTTP_AUTHORIZATION"),
    ],
)
def test_the_value_of_a_variable_with_a_secrets_name_is_taken_out(name: str) -> None:
    assert redact("x hunter2 y", secrets_of({name: "hunter2"})) == "x *** y"


def test_a_token_in_place_of_a_user_is_no_ordinary_word() -> None:
    assert redact("x hunter2 y", secrets_of({"NATS_TOKEN": "hunter2", "NATS_URL": "nats://hunter2@h"})) == "x *** y"


@pytest.mark.parametrize(
    "value",
    [
        *("postgres://h/db?user=u&password=hunter2", "https://h/?key=hunter2", "host=h password=hunter2 user=u"),
        *("https://hunter2@h/7", "https://hunter2:@h/7", "redis://:hunter2@h", "postgres://u:hunter2@h/db"),
        *("AccountKey=hunter2;x=y", '{"token": "hunter2"}', "Authorization: Bearer hunter2"),
    ],
)
def test_a_secret_inside_of_any_variables_value_is_taken_out(value: str) -> None:
    assert redact("x hunter2 y", secrets_of({"SETTING": value})) == "x *** y"


ODD = 'pä"ss\\wo/ rd9+'


@pytest.mark.parametrize(
    "spelled",
    [
        *(ODD, repr(ODD)[1:-1], repr(ODD.encode())[2:-1]),
        *(json.dumps(ODD)[1:-1], json.dumps(ODD, ensure_ascii=False)[1:-1]),
        *(quote(ODD), quote(ODD, safe=""), quote_plus(ODD)),
        *(b64encode((user + ODD).encode()).decode() for user in ("", "u:", "us:", "usr:")),
        *(urlsafe_b64encode((user + ODD).encode()).decode() for user in ("", "u:", "us:", "usr:")),
    ],
)
def test_a_variables_secret_is_taken_out_however_it_is_spelled(spelled: str) -> None:
    kept = redact(f"x {spelled} y", secrets_of({"MY_TOKEN": ODD}))
    assert REDACTED in kept
    assert not [at for at in range(len(spelled) - 6) if spelled[at : at + 7] in kept]


def test_one_of_many_secrets_in_a_variable_is_taken_out() -> None:
    secrets = secrets_of(
        {"API_KEYS": "AIzaFirstKey1,AIzaSecondKey2", "KEY_FILE": '{"private_key": "MIIE0\\nvQIBADANBg00"}'}
    )
    assert redact("bad AIzaSecondKey2, vQIBADANBg00", secrets) == "bad ***, ***"


@given(secret=st.text(min_size=SHORTEST).filter(lambda secret: "\0" not in secret), around=st.text())
def test_no_text_with_a_variables_secret_has_it_afterwards(secret: str, around: str) -> None:
    kept = redact(f"{around}{secret}{around}", secrets_of({"APP_TOKEN": secret}))
    assert secret not in kept.replace(REDACTED, "\0" * 3) or len(set(secret)) < SHORTEST


@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_password_in_a_url_is_taken_out_however_it_looks(password: str) -> None:
    encoded = quote(password, safe="")
    assert redact(f"at postgresql://tick:{encoded}@db/app.", ()) == f"at postgresql://{REDACTED}@db/app."


@given(start=st.integers(0, 100), length=st.integers(SHORTEST, 3 * MARGIN))
def test_a_secret_that_the_bounds_cut_in_two_leaves_nothing(start: int, length: int) -> None:
    secret = "".join(f"{number:x}-" for number in range(length))[:length]
    text = "=" * start + secret + "="
    part = (50, 60)
    (kept,) = redact_parts(text[: part[1] + MARGIN], secrets_of({"APP_TOKEN": secret}), [part])
    assert set(kept) <= {"=", "*"}
