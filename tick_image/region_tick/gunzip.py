"""Decompresses a gzip body piece by piece, and checks that the body is complete.

urllib3's own decoder cannot be used, for two reasons. A truncated stream passes for a complete stream
(urllib3.response, GzipDecoder.flush). And a single read does not return while the received bytes decompress to nothing.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE = 256 * 1024
"""The largest decompressed piece in bytes, whatever the compression ratio."""
_GZIP = 16 + zlib.MAX_WBITS
_FIRST_BYTE = 0x1F


class CutShortError(Exception):
    """The stream is truncated."""


def gunzip(packed: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the decompressed pieces of all members of a gzip stream (RFC 1952, 2.2). A piece may be empty.

    Bytes behind the last member are ignored. A stream without any bytes is an empty body. Raises zlib.error for bytes
    that are not gzip, CutShortError for a truncated stream.
    """
    pieces = iter(packed)
    member, begun = zlib.decompressobj(_GZIP), False
    for piece in pieces:
        rest, begun = piece, True
        while rest:
            if member.eof:
                if rest[0] != _FIRST_BYTE:
                    for _ in pieces:  # read to the end, so that the connection can serve another request
                        pass
                    return
                member = zlib.decompressobj(_GZIP)
            yield member.decompress(rest, PIECE)
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if begun and not member.eof:
        raise CutShortError
