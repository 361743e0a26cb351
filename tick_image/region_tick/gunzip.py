"""Unpacking a gzip body piece by piece, and telling whether it was there in full.

urllib3's own decoder is not used: a stream that breaks off passes there for a complete one
(urllib3.response, GzipDecoder.flush), and one read goes on for as long as what comes unpacks to nothing.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE = 256 * 1024
"""In bytes: no piece is larger, however small what it was packed into."""
_GZIP = 16 + zlib.MAX_WBITS
_FIRST_BYTE = 0x1F


class CutShortError(Exception):
    """The stream breaks off."""


def gunzip(packed: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what all members of a stream hold (RFC 1952, 2.2), empty pieces too; nothing of what is none, behind them.

    No bytes at all are an empty body. Raises zlib.error for what is no gzip, and CutShortError.
    """
    pieces = iter(packed)
    member, begun = zlib.decompressobj(_GZIP), False
    for piece in pieces:
        rest, begun = piece, True
        while rest:
            if member.eof:
                if rest[0] != _FIRST_BYTE:
                    for _ in pieces:  # so that the connection can serve another request
                        pass
                    return
                member = zlib.decompressobj(_GZIP)
            yield member.decompress(rest, PIECE)
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if begun and not member.eof:
        raise CutShortError
