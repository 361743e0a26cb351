"""Makes plain text of HTML: of titles and summaries, not of pages. Pure."""

from __future__ import annotations

import re
from html import unescape

_UNSEEN = re.compile(r"<(script|style)\b[^>]*>.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]*)\b[^<>]*>")
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
    shown = _UNSEEN.sub(" ", beginning) if "<" in beginning else beginning
    untagged = _TAG.sub(lambda tag: "" if tag[1].lower() in _INLINE else " ", shown)
    return one_line(unescape(untagged), limit=limit)


def one_line(text: str, *, limit: int) -> str:
    """Return a text with single blanks, `limit` characters at most."""
    return " ".join(text.split())[:limit].rstrip()
