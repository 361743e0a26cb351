"""Recognises what people put into a Secret instead of a DATABASE_URL, and says what to write. Pure.

No message holds any part of the text, because any part may be the password.
"""

from __future__ import annotations

import re

_FORM = "write postgresql://user:password@host:5432/database"
_MISTAKES = {
    "\ufeff.*": "begins with a byte order mark: save its file as UTF-8 without one",
    ".*[\0\ud800-\udfff].*": "is not UTF-8 (UTF-16, perhaps?): save its file as UTF-8",
    r"(?:\$\s*)?psql\s.*": "is a command of psql: write the URL in its quotes alone",
    "jdbc:.*": f"begins with jdbc: as for Java: {_FORM}",
    r"(?:export\s+|set\s+|env\s+|-\s*)?[a-z_]\w*\s*[=:]\s*[\"'`]?[a-z][a-z0-9+.-]*:/.*": (
        "begins with the name of a variable: write what stands behind the = or : alone"
    ),
    "[\"'`\u201c\u201d\u2018\u2019].*": "has quotes around it: write the URL alone",
    ".*[\r\n].*": "has several lines: write the URL alone, in one line",
    r"cG9zdGdyZX\S*": "is encoded as base64: encode it once, or use the Secret's stringData",
    "[$<{%].*": f"is a placeholder that nobody has filled in: {_FORM}",
    "[a-z ]+=[^/?]*[; ].*": f"is a list of keywords and values, not a URL: {_FORM}",
    "postgres(?:ql)?:(?!//).*": f"has no // behind its scheme: {_FORM}",
    ".*[\"'`\u201c\u201d\u2018\u2019]": "ends with a quote: write the URL alone, and %22 or %27 for a quote of its own",
}
"""Patterns of whole texts, the most telling first, and what is wrong. Capitals make no difference."""


def explain_text(text: str) -> str | None:
    """Return what is wrong with a text as a whole, and what to write. Return None if the text may be a URL."""
    for pattern, what in _MISTAKES.items():
        if re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL):
            return f"DATABASE_URL {what}"
    return None
