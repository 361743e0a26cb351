"""Finds the secrets of a text by what they look like and by what stands before them.

A value ends where its quotation mark or its bracket ends, also in bytes, in a list and in JSON within JSON. A value
without any ends at a blank, and in a URL's query at `&`. The patterns read each character a bounded number of times,
whatever the text. This module imports the standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_tick.excerpts import Span

_WORD_BOUNDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z]) | (?<=[A-Z])(?=[A-Z][a-z]) | [^A-Za-z0-9]+", re.VERBOSE)
_SECRET_NAME = re.compile(
    r"""
      passw | pass_?phrase | secret | token | credential | signature
    | (?:^|_) (?:auth | bearer | jwt | pass | pat | pw | sig) $
    | (?<!old) pwd $
    | (?:authorization | cookies?) $
    | (?:access | account | api | auth | deploy | encryption | master | private | service | session | shared | signing
        | ssh | ssl | subscription | tls) _?keys? (?:_(?:pem|base64|b64))? $
    """,
    re.VERBOSE,
)
_NO_SECRET_NAME = re.compile(
    r"(?:^|_)(?:count|error|exception|field|file|header|host|length|name|param|parameter|path|port|ref|type|user|username)$"
)
"""The last word of a name that says where a secret is, or of which kind, as PASSWORD_FILE does."""
_WHOLE_LINE_NAME = re.compile(r"(?:authorization|cookies?)$")

_NAMED = re.compile(
    r"""
    (?<![\w.-]) (?P<flag>--)?+ (?P<name>[\w.-]++)
    (?> (?P<closing> \\{0,3}["'] )? \]? [ \t]*+ (?: => | :=? | ==? | %3D ) [ \t]*+
      | \\{0,3}["'] , [ \t]*+ (?= [bBuUrR]{0,2} \\{0,3}["'] )  # the next item of a tuple or of a list
      | (?(flag) [ \t]++ (?=[^\s-]) | (?!) )
    )
    (?! (?:none|null|true|false) (?:[\s,;&)\]}]|$) )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_OPENING = re.compile(r"""[bBuUrRfF]{0,2}(?P<slashes>\\{0,3})(?P<quote>["'])""")
_QUOTE = re.compile(r"""(?<!\\)(?P<slashes>\\*+)(?P<quote>["'])""")
_QUOTE_OR_BRACKET = re.compile(rf"{_QUOTE.pattern}|[\[({{\])}}]")
_FARTHEST_BRACKET = 1000
_DEEPEST_BRACKET = 8
"""A bracket that is not closed within these bounds hides the rest of its line."""

_LINE = re.compile(r"[^\n]*")
_HEADER = re.compile(r"(?:[^\\\r\n]|\\(?![rn]))*+")
_WORD = re.compile(r"\S*")
_OF_JSON = re.compile(r"[^\s,)\]}]*")
_OF_QUERY = re.compile(r"""[^\s&"'<>\\]*""")
_NOTHING = re.compile("")
_JOINED = re.compile(r"""[^\s,:;&|)\]}>"'\\]*""")
"""What follows a quotation mark or a bracket without a blank, as in a shell."""

USER_OF_URL = re.compile(
    r"""
    : (?:// | \\/\\/)
    (?P<user> [^\s/?]+
      | [^\s/?\#@:\[]{0,100} : (?!\d+[/?\#]) [^\s"'<>]{0,128}  # a password that nobody encoded
    ) @
    """,
    re.VERBOSE,
)
_ROW_KEY = re.compile(r"\((?P<names>[^()\n]{1,300})\){1,3}=\(")
"""Postgres' detail of an error, such as `Key (id, token)=(7, abc) already exists.`"""
_PRIVATE_KEY = re.compile(
    r"-----BEGIN[A-Z ]{1,30}PRIVATE\ KEY (?: .*? -----END[A-Z ]{1,30}PRIVATE\ KEY[A-Z ]{0,10}----- | .* )",
    re.DOTALL | re.VERBOSE,
)
_BEARER = re.compile(
    r"\b bearer \s{1,20} (?![a-z]{1,20}(?![\w.~+/-])) (?P<value>[\w.~+/-]+=*)", re.IGNORECASE | re.VERBOSE
)
"""A token and its scheme. A word of letters alone is no token: `bearer token expired`."""


def spans_of_secrets(text: str) -> Iterator[Span]:
    """Find private keys, tokens behind `Bearer`, and the values behind a secret's name."""
    yield from (match.span() for match in _PRIVATE_KEY.finditer(text))
    yield from (match.span("value") for match in _BEARER.finditer(text))
    yield from _spans_in_row_keys(text)
    yield from _spans_behind_names(text)


def words_of(name: str) -> str:
    """Return the words of a name with underscores between them: `X-Api-Key` and `xApiKey` are `x_api_key`."""
    return "_".join(filter(None, _WORD_BOUNDS.split(name))).lower()


def is_secret(words: str) -> bool:
    """Tell whether a name of these words is one of a secret."""
    return bool(_SECRET_NAME.search(words)) and not _NO_SECRET_NAME.search(words)


def _spans_in_row_keys(text: str) -> Iterator[Span]:
    line_end = 0
    for match in _ROW_KEY.finditer(text):
        start = match.end()
        if start >= line_end and any(is_secret(words_of(name)) for name in match["names"].split(",")):
            line_end = _end(_LINE, text, start)
            last = text.rfind(")", start, line_end)
            yield start, line_end if last < 0 else last


def _spans_behind_names(text: str) -> Iterator[Span]:
    matched: dict[re.Pattern[str], int] = {}  # up to where each pattern was: no character is read once for each name
    for head in _NAMED.finditer(text):
        words, before = words_of(head["name"]), text[max(0, head.start() - 4) : head.start()]
        in_query = before.endswith(("?", "&"))
        if (is_secret(words) or (in_query and words == "key")) and head.end() >= matched.get(_LINE, 0):
            delimited, at, rest = _delimited(text, head.end(), "" if head["closing"] else before)
            if delimited:
                yield delimited
            if not rest:
                whole_line = _WHOLE_LINE_NAME.search(words)
                rest = _HEADER if whole_line else _OF_JSON if head["closing"] else _OF_QUERY if in_query else _WORD
            if at >= matched.get(rest, 0):
                matched[rest] = _end(rest, text, at)
                yield at, matched[rest]


def _delimited(text: str, at: int, before: str) -> tuple[Span | None, int, re.Pattern[str] | None]:
    """Return the value at `at` if a quotation mark or a bracket ends it, where to go on, and the pattern of the rest.

    `before` stands before the name. A quotation mark there delimits the value too: `"X-Api-Key: abc"`.
    """
    if opening := _OPENING.match(text, at):
        closing = _closing(text, opening.end(), opening["slashes"], opening["quote"])
        return ((opening.end(), closing[0]), closing[1], _JOINED) if closing else (None, at, _LINE)
    if text[at : at + 1] in ("[", "(", "{"):
        end = _end_of_bracket(text, at)
        return ((at, end), end, _JOINED) if end else (None, at, _LINE)
    around = re.search(rf"{_QUOTE.pattern}$", before)
    if around and (closing := _closing(text, at, around["slashes"], around["quote"])):
        return (at, closing[0]), closing[1], _NOTHING
    return None, at, None


def _closing(text: str, at: int, slashes: str, quote: str, end: int | None = None) -> Span | None:
    """Return the quotation mark that ends what begins at `at`, with its backslashes. None: there is none.

    In JSON within JSON, `slashes` stand before each mark, and more of them before a mark that is part of the value, or
    that follows a backslash at the value's end. Which of the two cannot be told if Python wrote the text as bytes, so
    such a mark ends the value only if no other does, and then the last one of the line.
    """
    level, perhaps, line_end = len(slashes), None, 0
    for mark in _QUOTE.finditer(text, at, len(text) if end is None else end):
        if mark["quote"] == quote:
            run = len(mark["slashes"])
            if run <= level:
                return mark.end() - 1 - run, mark.end()
            if run % (2 * level + 2) == level and (not perhaps or mark.end() <= line_end):
                line_end = line_end or _end(_LINE, text, mark.end())
                perhaps = mark.end() - 1 - level, mark.end()
    return perhaps


def _end_of_bracket(text: str, at: int) -> int | None:
    depth, here, farthest = 0, at, at + _FARTHEST_BRACKET
    while (mark := _QUOTE_OR_BRACKET.search(text, here, farthest)) and depth < _DEEPEST_BRACKET:
        here = mark.end()
        if mark["quote"]:
            closing = _closing(text, here, mark["slashes"], mark["quote"], farthest)
            here = closing[1] if closing else here
        else:
            depth += 1 if mark[0] in "[({" else -1
            if not depth:
                return here
    return None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
