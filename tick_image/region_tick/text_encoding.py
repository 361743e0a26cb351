"""Says what a database of any encoding can hold, and marks a value that cannot be read. Pure.

Every session speaks UTF-8, and Postgres converts. Postgres refuses a character that the database's encoding does not
have, so such a character is written as an escape. Escapes keep different texts different. A database in SQL_ASCII
converts nothing, so bytes of any encoding may come back.
"""

from __future__ import annotations

UTF_8 = ("UTF8", "SQL_ASCII")
"""The encodings of databases that hold every character. Postgres checks what is written to SQL_ASCII, not what stands.
"""

_CODECS = {
    "EUC_CN": "gb2312",
    "EUC_JP": "euc_jp",
    "EUC_KR": "iso2022_kr",  # Python's euc_kr composes syllables that Postgres does not know
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
    **{f"ISO_8859_{part}": f"iso8859-{part}" for part in (5, 6, 7, 8)},
    **{f"LATIN{number}": f"latin{number}" for number in range(1, 11)},
    **{f"WIN{page}": f"cp{page}" for page in (866, 874, *range(1250, 1259))},
}
"""Python's codecs for Postgres' encodings (https://www.postgresql.org/docs/18/multibyte.html). A database in any other
encoding gets ASCII.
"""

_ONLY_IN_PYTHON = {"EUC_JP": "\u00a2\u00a3\u00a5\u00ac\u2016\u203e\u2212\u301c"}
"""Characters that Python's codec has and Postgres' conversion has not."""


class Unreadable(str):
    """The text of a value that cannot be read as its type. `problem` says why, and what to write instead."""

    __slots__ = ()
    problem = ""


class NotUtf8(Unreadable):
    r"""A text whose bytes are not UTF-8. Each such byte is shown as an escape, such as \xe9."""

    __slots__ = ()
    problem = "is not UTF-8: write it anew in a session with client_encoding UTF8"


class OutOfRange(Unreadable):
    """A time that Python cannot hold, as `infinity`, as Postgres shows it."""

    __slots__ = ()
    problem = "is out of range: write a value in the years 1 to 9999"


def escape(text: str, encoding: str) -> str:
    r"""Return a text that a database can hold: without NUL, and with an escape such as \u0142 for each character that
    the encoding (Postgres' name) lacks.
    """
    clean = text.replace("\0", "")
    if clean.isascii():
        return clean
    if encoding in UTF_8:
        return clean.encode(errors="backslashreplace").decode()
    for character in _ONLY_IN_PYTHON.get(encoding, ""):
        clean = clean.replace(character, character.encode("ascii", "backslashreplace").decode())
    codec = _CODECS.get(encoding, "ascii")
    return "".join(
        character if character.isascii() else character.encode(codec, "backslashreplace").decode(codec)
        for character in clean
    )
