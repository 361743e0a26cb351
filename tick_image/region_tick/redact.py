"""Takes secrets out of a text that is kept where more people read it than read the log.

Taken out are the user and password of a URL, private keys in PEM, tokens behind `Bearer`, the values behind names such
as `token=` or `"password":`, and the secrets that the variables of this process hold, in the usual spellings. All of
them are found in the text as it was, and only then replaced, so that no replacement hides the name of another secret.

This is a net with holes. Any other secret stays: whoever writes a log line keeps secrets out of it. The patterns here
read each character a bounded number of times. This module imports the standard library only.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from region_tick.contract import SCHEMA
from region_tick.excerpts import MARGIN
from region_tick.secret_spans import USER_OF_URL, is_secret, spans_of_secrets, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from region_tick.excerpts import Span

REDACTED = "***"
SHORTEST = 6
"""The fewest characters of a variable's value that is looked for. Shorter values are words and numbers of any text."""

_LONGEST = 1024
"""A longer secret is looked for in pieces of so many characters, so that a text's MARGIN holds a whole piece."""
_SHORTEST_ITEM = 12
"""The fewest characters of a line, or of an item of a list, that is looked for by itself. Shorter ones are words."""
_ORDINARY = {"password", "postgres", "secret", SCHEMA}
"""Values that are no secrets, whatever the variable: without these words no error of the database could be read."""
_NO_PASSWORDS = ("", "x-oauth-basic")
"""What stands for the password in a URL of HTTP whose user is a token."""

_KEY_VARIABLE = re.compile(r"(?:^|_)keys?(?:_(?:pem|base64|b64))?$")
"""A key is secret as a variable. In a text, it is more often the key of a row."""
_USER_VARIABLE = re.compile(r"(?:user|username)$")


def redact(text: str, secrets: tuple[str, ...], limit: int | None = None) -> str:
    """Return the text's first `limit` characters, with REDACTED in place of each secret.

    A NUL is taken out first: no database keeps it, and a secret in UTF-16 would be one again without its NULs.
    """
    text = text.replace("\0", "")
    end = len(text) if limit is None else min(limit, len(text))
    return redact_parts(text[: end + MARGIN], secrets, [(0, end)])[0]


def redact_parts(text: str, secrets: tuple[str, ...], parts: Iterable[Span]) -> list[str]:
    """Return parts of a text without NUL, with REDACTED in place of each secret, also of one that is partly inside."""
    spans = merged(_spans(text, secrets))
    return [_without(spans, text, *part) for part in parts]


def secrets_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets in variables, each in the spellings that texts have for it.

    A value that is also a user's name, or an ordinary word, is none: everybody knows it, and texts need it.
    """
    secrets: set[str] = set()
    ordinary = set(_ORDINARY)
    for name, value in variables.items():
        words = words_of(name)
        if name != "PWD" and (is_secret(words) or _KEY_VARIABLE.search(words)):
            secrets |= {value, value.strip()} | _items(value)
        if _USER_VARIABLE.search(words):
            ordinary.add(value)
        for start, end in spans_of_secrets(value):
            found = value[start:end]
            secrets |= {found, re.split("[;&]", found)[0]} | _items(found)
        for match in USER_OF_URL.finditer(value):
            user, _, password = match["user"].partition(":")
            if not value[: match.start()].endswith(("http", "https")):
                ordinary |= {user, unquote(user)} if password else set()
            elif password in _NO_PASSWORDS:
                secrets.add(user)
            secrets.add(password)
    secrets |= {unquote(secret) for secret in secrets} | {unquote_plus(secret) for secret in secrets}
    spellings = {each for secret in secrets - ordinary if len(secret) >= SHORTEST for each in _spellings(secret)}
    return tuple(sorted({piece for spelling in spellings for piece in _searchable(spelling)}))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order, with those that overlap or touch as one, and without empty ones."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return found


def _without(spans: list[Span], text: str, start: int, end: int) -> str:
    kept: list[str] = []
    at = start
    for first, last in spans:
        if first < end and last > start:
            kept += text[at:first], REDACTED
            at = last
    return "".join((*kept, text[at:end]))


def _spans(text: str, secrets: tuple[str, ...]) -> Iterator[Span]:
    for secret in secrets:
        at = text.find(secret)
        while at >= 0:
            yield at, at + len(secret)
            at = text.find(secret, at + len(secret))
    yield from (match.span("user") for match in USER_OF_URL.finditer(text))
    yield from spans_of_secrets(text)


def _items(value: str) -> set[str]:
    """Return the lines of a value, and the items of a list, that are long enough to be secrets of their own."""
    return {item for item in re.split(r"[\s,;]+|\\n", value) if len(item) >= _SHORTEST_ITEM}


def _spellings(secret: str) -> Iterator[str]:
    data = secret.encode(errors="backslashreplace")
    yield from (secret, repr(secret)[1:-1], repr(data)[2:-1])
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (quote(data), quote(data, safe=""), quote_plus(data))
    for before in range(3):  # base64 looks different after a user and a colon, by their length
        encoded = b64encode(bytes(before) + data).decode()
        whole = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield from (whole, whole.translate(str.maketrans("+/", "-_")))


def _searchable(spelling: str) -> Iterator[str]:
    if len(spelling) >= SHORTEST:
        yield from (spelling[at : at + _LONGEST] for at in range(0, len(spelling) - _LONGEST, _LONGEST))
        yield spelling[-_LONGEST:]
