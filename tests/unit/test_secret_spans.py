"""Values behind a secret's name: whatever quotes them, nothing of them stays, and no text takes long to be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from region_tick.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [
    *("password", "PGPASSWORD", "passphrase", "PASS", "DB_PASS", "dbPwd", "client_secret", "api_token", "tokens"),
    *("X-Api-Key", "apiKey", "private_key", "tls.key", "AccountKey", "aws_credentials", "sig", "X-Amz-Signature"),
    *("auth", "jwt", "Authorization", "proxy-authorization", "Cookie", "Set-Cookie"),
]
SECRETS = [
    "zq7 xk,w9;jv5&hu3 pd8",
    "zq7' xk,w9\"; jv5&\\hu3\\",
    "[zq7 (xk{w9",
    'zq7=["]\\{w9;q',
    "zq7\n\txk=w9: jv5}hu3",
]
QUOTES: dict[str, Callable[[str, str], str]] = {
    "a dict": lambda name, secret: repr({"n": 1, name: secret}),
    "a dict of bytes": lambda name, secret: repr({name.encode(): secret.encode()}),
    "a dict of lists": lambda name, secret: repr({name: [secret, secret]}),
    "a dict of dicts": lambda name, secret: repr({name: {"v": secret}}),
    "a tuple": lambda name, secret: repr([("n", 1), (name, secret)]),
    "a tuple of bytes": lambda name, secret: repr((name.encode(), secret.encode())),
    "an argument": lambda name, secret: f"{name}={secret!r}",
    "an argument of bytes": lambda name, secret: f"call({name} = {secret.encode()!r}, n=1)",
    "an argument's list": lambda name, secret: f"{name}=[{secret!r}]",
    "an arrow": lambda name, secret: f"{name} => {secret!r}",
    "JSON": lambda name, secret: json.dumps({"n": 1, name: secret}),
    "JSON without blanks": lambda name, secret: json.dumps({name: [{"v": secret}]}, separators=(",", ":")),
    "JSON in JSON": lambda name, secret: json.dumps(json.dumps({name: secret})),
    "JSON in JSON in JSON": lambda name, secret: json.dumps(json.dumps(json.dumps({name: secret}))),
    "JSON in a dict": lambda name, secret: repr({"body": json.dumps({name: secret}).encode()}),
    "a command": lambda name, secret: repr(["run", f"--{name}", secret]),
    "a command's line": lambda name, secret: f"run --{name} {secret!r}",
}


def pieces(secret: str) -> set[str]:
    return {secret[at : at + 4] for at in range(len(secret) - 3)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", QUOTES)
def test_no_piece_of_a_quoted_value_behind_a_secrets_name_stays(way: str, name: str) -> None:
    for secret in SECRETS:
        text = QUOTES[way](name, secret)
        kept = redact(f"before {text} after", ())
        assert not {piece for piece in pieces(secret) if piece in kept}, (text, kept)
        assert kept.startswith("before ")


@pytest.mark.parametrize(
    "piece",
    [
        *("token", "://", "a", "secret-", "authorization: bearer ", "token=", 'token="', "token='", '"token":[', "{'"),
        *(
            "\\",
            '\\"',
            '\\\\\\"token\\\\\\":',
            "://a:",
            "-----BEGIN PRIVATE KEY-----",
            "(token",
            "(token)=(",
            "token=[",
        ),
        *("bearer ", " ", "\n", "--token ", "'token', ", "token: ", "token=\\'", "aB", "token=[\n", "authorization="),
    ],
)
def test_a_long_text_comes_to_an_end(piece: str) -> None:
    redact(piece * (400_000 // len(piece)), ())
