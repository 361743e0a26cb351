"""Writes the body of a server-side apply, which has to be YAML. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from region_operator.cronjobs.manifest_parts import Manifest

_ESCAPE = re.compile(r"\\(?:ud[89ab]..\\ud[c-f]..|.)")


def as_yaml(body: Manifest) -> bytes:
    """Write JSON that is also valid YAML.

    JSON escapes a character beyond U+FFFF, for example an emoji, as two surrogates. The API server's YAML reader
    refuses surrogates, so the character is written unescaped. The reader also refuses the control character DEL, which
    JSON need not escape. Text in ASCII without DEL is written ten times faster.
    """
    text = msgspec.json.encode(body)
    if text.isascii() and b"\x7f" not in text:
        return text
    return _ESCAPE.sub(lambda match: _unescape_surrogates(match[0]), json.dumps(body)).encode()


def _unescape_surrogates(escape: str) -> str:
    return escape if len(escape) == 2 else str(json.loads(f'"{escape}"'))
