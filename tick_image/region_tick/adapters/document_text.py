"""Turns a document's bytes into text that an XML parser can read to the end. Pure.

The parser gets text whose encoding is known, without what XML forbids, and with the entities of HTML replaced: feeds
are written by programs that think of HTML. Everything goes piece by piece, because a second copy of a large document
takes more memory than a tick's pod has.
"""

from __future__ import annotations

import codecs
import re
import sys
from html.entities import html5
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 64 * 1024
_HEAD_BYTES = 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_CODECS = {
    "iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "iso-8859-9": "cp1254", "iso-8859-11": "cp874",
    "tis-620": "cp874", "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "gb-2312-80": "gb18030",
    "shift-jis": "cp932", "x-sjis": "cp932", "sjis": "cp932", "windows-31j": "cp932", "ms-kanji": "cp932",
    "x-euc-jp": "euc-jp", "euc-kr": "cp949", "ks-c-5601-1987": "cp949", "x-windows-949": "cp949",
    "big5": "big5hkscs", "x-mac-roman": "mac-roman", "macintosh": "mac-roman",
}  # fmt: skip
"""Python's codecs for names that mean more in practice than in their standard (https://encoding.spec.whatwg.org)."""
_CODEC_NAME = re.compile(r"(utf-?8|iso-?8859-\d+|latin-?\d+|windows-\d+|cp\d+|koi8-[rut]|gb18030|euc-jp|johab|hz"
                         r"|iso-?2022-(jp|kr)(-\w+)?|mac-[a-z]+)")  # fmt: skip
"""Other names that are believed. Some codecs of Python are no encodings of text, and one unpacks zlib."""
_DECLARED = re.compile(rb"""^[\s\xef\xbb\xbf]*<\?xml[^>]{0,200}?encoding\s*=\s*["']\s*([A-Za-z0-9_.:-]{1,40})""")
_CHARSET = re.compile(r"""charset\s*=[\s"']*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MARKUP = re.compile(
    r"<!(?:\[CDATA\[|--)(?P<opens>)|\]\]>(?P<closes>)|-->(?P<closes_too>)"
    r"|<!ENTITY\s(?!\s*%\s+\S+\s+(?:PUBLIC|SYSTEM))(?P<declares>)"
    r"|<(?:item|entry)(?=[\s/>])(?P<entry>)|</(?:rss|feed|\w+:RDF)\s*>(?P<root>)"
    r"|&#(?P<numbers>[xX]?[0-9A-Fa-f]{1,8};(?:&#[xX]?[0-9A-Fa-f]{1,8};){0,999})"
    r"|&(?P<entity>[A-Za-z][A-Za-z0-9]{1,31});|&(?!#|[A-Za-z_:][\w.:-]{0,63};)(?P<ampersand>)"
    r"|<(?![A-Za-z_:/?]|!(?:\[CDATA\[|--|[A-Za-z]))(?P<less>)"
)
"""Each alternative begins with a character, so that the search may leap over all others."""
_BEGUN = re.compile(r"[&<\]-]")
_IN_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})
_TAIL_LIMIT = 80
"""The longest part of an entity or a mark that a piece's end may cut."""


def encoding_of(document: bytes, content_type: str | None) -> str:
    """Return Python's name of a document's encoding.

    A byte order mark says it for certain. Bytes that are UTF-8 are UTF-8, whatever is declared: other text is hardly
    ever UTF-8 by chance. Otherwise the document's declaration counts, then the answer's Content-Type, and at last
    Windows-1252, which can read everything.
    """
    start = document[:_HEAD_BYTES].lstrip(b" \t\r\n")
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    declared, charset = _DECLARED.match(document[:_HEAD_BYTES]), _CHARSET.search(content_type or "")
    names = [declared[1].decode("ascii") if declared else "", charset[1] if charset else ""]
    named = [codec for name in names if (codec := _codec(name)) is not None and codec != "utf-8"]
    if named and named[0].startswith(("iso2022", "hz")):  # these look like ASCII
        return named[0]
    if _is_utf8(document):
        return "utf-8"
    return named[0] if named else "cp1252"


def _codec(name: str) -> str | None:
    key = name.lower().replace("_", "-")
    if key not in _CODECS and not _CODEC_NAME.fullmatch(key):
        return None
    try:
        return codecs.lookup(_CODECS.get(key, key)).name
    except LookupError:
        return None


def _is_utf8(document: bytes) -> bool:
    """Tell whether a document is UTF-8, apart from an odd byte and a character that its end cuts."""
    decoder, wrong, right = codecs.getincrementaldecoder("utf-8")("replace"), 0, 0
    for start in range(0, len(document), PIECE_BYTES):
        text = decoder.decode(document[start : start + PIECE_BYTES])
        if not text.isascii():
            wrong += text.count("\ufffd")
            right += len(text) - len(text.encode("ascii", "ignore"))
    return wrong == 0 or 3 * wrong < right


class CleanText:
    """A document's text, clean for an XML parser, and what a parser that goes on after errors does not tell of it."""

    def __init__(self, document: bytes, encoding: str) -> None:
        self._document, self._encoding = document, encoding
        self._closes = ""
        """What ends the CDATA section or the comment that is open: there is no markup in it."""
        self.line = 1
        """The line that the last piece ends in."""
        self.entry_lines: list[int] = []
        """The lines in which the start tags of entries stand."""
        self.ends = False
        """Whether the end tag of a feed has come."""
        self.declares_entities = False

    def __iter__(self) -> Iterator[str]:
        """Yield the text in pieces."""
        decoder, kept = codecs.getincrementaldecoder(self._encoding)("replace"), ""
        for start in range(0, len(self._document), PIECE_BYTES):
            last = start + PIECE_BYTES >= len(self._document)
            text = kept + decoder.decode(self._document[start : start + PIECE_BYTES], last)
            begun = None if last else _BEGUN.search(text, max(0, len(text) - _TAIL_LIMIT))
            text, kept = (text[: begun.start()], text[begun.start() :]) if begun else (text, "")
            yield self._clean(_FORBIDDEN.sub("", text))

    def _clean(self, text: str) -> str:
        counted = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal counted
            if match.lastgroup == "entry" and not self._closes:
                self.line += text.count("\n", counted, match.start())
                counted = match.start()
            return self._replace(match)

        cleaned = _MARKUP.sub(replace, text)
        self.line += text.count("\n", counted)
        return cleaned

    def _replace(self, match: re.Match[str]) -> str:
        found = match[0]
        if self._closes:
            if found == self._closes:
                self._closes = ""
            return found
        match match.lastgroup:
            case "opens":
                self._closes = "-->" if found == "<!--" else "]]>"
            case "entry":
                self.entry_lines.append(self.line)
            case "declares":
                self.declares_entities = True
            case "root":
                self.ends = True
            case "ampersand" | "less":
                return f"&#{ord(found)};"
            case "closes":  # nothing that was open
                return "]]&#62;"
            case "numbers":
                return "".join(f"&#{ord(one)};" for one in _referred(match["numbers"]))
            case "entity" if match["entity"] not in _IN_XML:
                return "".join(f"&#{ord(one)};" for one in html5.get(f"{match['entity']};", "")) or found
        return found


def _referred(numbers: str) -> str:
    """Return the characters that references such as `233;&#xE9;` mean to people.

    Programs refer to halves of a character in UTF-16, and to bytes of Windows-1252.
    """
    units = []
    for number in numbers.replace("&#", "").rstrip(";").split(";"):
        try:
            code = int(number[1:], 16) if number[0] in "xX" else int(number)
        except ValueError:  # hexadecimal digits without an x
            continue
        as_byte = bytes([code]).decode("cp1252", "ignore") if 0x80 <= code < 0xA0 else ""
        units.append(as_byte or (chr(code) if code <= sys.maxunicode else "\ufffd"))
    text = "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _FORBIDDEN.sub("", text)
