"""What servers answer that misbehave: too slowly, too much, or broken."""

from __future__ import annotations

import gzip
import socket
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.harness.upstream import Asked


def slow_headers(asked: Asked) -> None:
    asked.write(b"HTTP/1.1 200 OK\r\nx: ")
    asked.repeat(b"y", pause=0.02)


def slow_body(asked: Asked) -> None:
    asked.start(200, content_length=str(10**6))
    asked.repeat(b"y", pause=0.02)


def slow_chunks(asked: Asked) -> None:
    asked.start(200, transfer_encoding="chunked")
    asked.repeat(b"1\r\ny\r\n", pause=0.02)


def slow_body_of_unknown_length(asked: Asked) -> None:
    asked.start(200, connection="close")
    asked.repeat(b"y", pause=0.02)


def silent(asked: Asked) -> None:
    asked.closing.wait(20)


SLOW = [slow_headers, slow_body, slow_chunks, slow_body_of_unknown_length, silent]


def bomb(asked: Asked) -> None:
    """Half a gigabyte in half a megabyte."""
    asked.start(200, content_encoding="gzip", transfer_encoding="chunked")
    packer = zlib.compressobj(9, wbits=31)
    for _ in range(512):
        if piece := packer.compress(bytes(1024 * 1024)):
            asked.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    piece = packer.flush()
    asked.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))


def endless(asked: Asked) -> None:
    asked.start(200, connection="close")
    asked.repeat(bytes(65536))


def endless_chunks(asked: Asked) -> None:
    asked.start(200, transfer_encoding="chunked")
    asked.repeat(b"10000\r\n" + bytes(65536) + b"\r\n")


def announced(asked: Asked) -> None:
    asked.start(200, content_length=str(10**12))
    asked.repeat(bytes(65536))


def endless_error(asked: Asked) -> None:
    asked.start(500, connection="close")
    asked.repeat(bytes(65536))


def endless_redirect(asked: Asked) -> None:
    asked.start(302, connection="close", location="/elsewhere")
    asked.repeat(bytes(65536))


def endless_nothing(asked: Asked) -> None:
    """Gzip of empty stored blocks, which unpack to no byte."""
    asked.start(200, content_encoding="gzip", connection="close")
    asked.write(gzip.compress(b"")[:10])
    asked.repeat(b"\0\0\0\xff\xff" * 13_107)


def endless_frames(asked: Asked) -> None:
    asked.start(200, transfer_encoding="chunked")
    asked.repeat(b"1;" + b"x" * 60_000 + b"\r\ny\r\n")


def endless_trailers(asked: Asked) -> None:
    asked.start(200, transfer_encoding="chunked")
    asked.write(b"0\r\n")
    asked.repeat(b"x: " + b"y" * 60_000 + b"\r\n")


LARGE = [bomb, endless, endless_chunks, announced, endless_error, endless_redirect]
LARGE_AROUND = [endless_nothing, endless_frames, endless_trailers]


def cut(asked: Asked) -> None:
    asked.start(200, content_length="100")
    asked.write(b"half")
    asked.handler.close_connection = True


def cut_chunk(asked: Asked) -> None:
    asked.start(200, transfer_encoding="chunked")
    asked.write(b"100\r\nhalf")
    asked.handler.close_connection = True


def cut_gzip(asked: Asked) -> None:
    """Nothing but the packed stream itself says that more was to come."""
    packed = gzip.compress(b"<rss/>" * 1000)
    asked.start(200, content_encoding="gzip", connection="close", etag='"1"')
    asked.write(packed[: len(packed) // 2])
    asked.handler.close_connection = True


def reset(asked: Asked) -> None:
    linger = b"\1\0\0\0\0\0\0\0"
    asked.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    asked.handler.rfile.close()
    asked.handler.connection.close()


def hung_up(asked: Asked) -> None:
    asked.handler.close_connection = True


def no_http(asked: Asked) -> None:
    asked.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    asked.handler.close_connection = True


BROKEN = [cut, cut_chunk, cut_gzip, reset, hung_up, no_http]
