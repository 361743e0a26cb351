"""Takes secrets out of a text that is kept where more people read it than read the log.

Three kinds of secrets are known: what stands between `://` and `@` in a URL, a value behind a name such as `token=` or
`"password":`, and the value of a variable of this process with such a name. Any other secret stays: whoever writes a
log line keeps secrets out of it. This module imports the standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

REDACTED = "***"
SHORTEST = 6
"""The fewest characters of a variable's value that is looked for. Shorter values are words and numbers of any text."""

_SECRET_NAME = re.compile(r"passw|secret|token|credential|api_?key|_key$|_pwd$", re.IGNORECASE)
_USER_OF_URL = re.compile(r"://([^\s/?]+)@")
_NAMED = re.compile(
    r"""((?:passw|pwd|secret|token|credential|api[_-]?key|access[_-]?key|authorization|signature|[?&]key)
    [\w-]{0,40}["']?\s{0,3}[=:]\s{0,3}["']?(?:(?:basic|bearer|digest|negotiate|token)\s)?)[^\s"'&;,)\]}]+""",
    re.IGNORECASE | re.VERBOSE,
)
"""A name and its value. Nothing in front of the name is matched, so a long text without blanks takes no longer."""


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text with REDACTED in place of each secret: of `secrets`, and of what looks like one."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return _NAMED.sub(rf"\1{REDACTED}", _USER_OF_URL.sub(f"://{REDACTED}@", text))


def secrets_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets in variables, the longest first, each in the ways in which texts quote it."""
    values: set[str] = set()
    for name, value in variables.items():
        if _SECRET_NAME.search(name):
            values |= {value, value.strip(), *value.split()}
        for user in _USER_OF_URL.findall(value):
            values.add(user.partition(":")[2])
    values |= {unquote(value) for value in values}
    values |= {quote(value, safe="", errors="backslashreplace") for value in values} | {
        repr(value)[1:-1] for value in values
    }
    return tuple(sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True))
