"""Makes plain text of HTML: of titles and summaries, not of pages. Pure."""

from __future__ import annotations

import re
from html import unescape

_UNSEEN = re.compile(r"<(?:(script|style)\b|!--)", re.IGNORECASE)
"""Matches the beginning of what nobody sees."""
_ENDS = {
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
    "": re.compile("-->"),
}
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]*+)[^<>]*+>")
_DIGITS = re.compile("(?<=&#[0-9]{9})[0-9]+")
"""Digits that Python would not read as a number, of a character that does not exist anyway."""
_INLINE = frozenset(
    re.findall(
        r"\w+",
        "a abbr acronym b big bdi bdo cite code del em font i ins kbd mark q s samp small span strike strong sub sup "
        "tt u var wbr",
    )
)


def plain_text(html: str, *, limit: int) -> str:
    """Return the text of a piece of HTML in one line, `limit` characters at most.

    What looks like a tag is taken out; a block's tag parts words. `1 < 2` stays.
    """
    beginning = html[: 8 * limit]
    untagged = _TAG.sub(lambda tag: "" if tag[1].lower() in _INLINE else " ", _seen(beginning))
    return one_line(unescape(_DIGITS.sub("", untagged)), limit=limit)


def _seen(html: str) -> str:
    """Return HTML without scripts, styles and comments. One that does not end is text."""
    parts, at, endless = list[str](), 0, set[str]()
    for beginning in _UNSEEN.finditer(html):
        kind = (beginning[1] or "").lower()
        if beginning.start() < at or kind in endless:
            continue
        end = _ENDS[kind].search(html, beginning.end())
        if end is None:
            endless.add(kind)  # a search from further on would fail, too: the time would grow with the square
        else:
            parts.append(html[at : beginning.start()])
            at = end.end()
    return " ".join([*parts, html[at:]])


def one_line(text: str, *, limit: int) -> str:
    """Return the beginning of a text with single blanks, `limit` characters at most.

    The text is cut before it is split: the words of a long text take many times the text's memory.
    """
    return " ".join(text[: 8 * limit].split())[:limit].rstrip()
