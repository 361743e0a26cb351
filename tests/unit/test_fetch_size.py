"""One request against a server that sends too much, or packs it: a bounded part of it is read."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from region_tick.addresses import Addresses
from region_tick.fetch import (
    BODY_LIMIT,
    Client,
    RefusedError,
    TransientError,
)
from tests.harness.upstream import Asked, Upstream, replying
from tests.unit.answers import LARGE, LARGE_AROUND
from tests.unit.fetching import LOOPBACK, get

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("answer", LARGE + LARGE_AROUND, ids=lambda answer: answer.__name__)
def test_however_large_an_answer_is_a_bounded_part_is_read(
    answer: Callable[[Asked], None], server: Upstream, client: Client
) -> None:
    server.on("/", answer)
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError, match=f"sends more (than {BODY_LIMIT} bytes|bytes than)"):
            get(client, server.url)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * BODY_LIMIT
        assert server.asked[0].sent < 4 * BODY_LIMIT  # some of it is in the sockets' buffers
    finally:
        tracemalloc.stop()


def test_the_limit_itself_is_not_too_much(server: Upstream) -> None:
    with closing(Client(Addresses(allowed=LOOPBACK), body_limit=1000)) as client:
        assert len(get(client, server.on("/", replying(200, bytes(1000)))).body) == 1000
        with pytest.raises(RefusedError):
            get(client, server.on("/", replying(200, bytes(1001))))


def test_endless_headers_end(server: Upstream, client: Client) -> None:
    def answer(asked: Asked) -> None:
        asked.write(b"HTTP/1.1 200 OK\r\n")
        asked.repeat(b"x: y\r\n")

    server.on("/", answer)
    with pytest.raises(TransientError, match="HTTPException"):
        get(client, server.url)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "gzip," * 100])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str, server: Upstream, client: Client) -> None:
    server.on("/", replying(200, b"x", {"content-encoding": encoding}))
    with pytest.raises(RefusedError, match="another Content-Encoding"):
        get(client, server.url)


def test_what_is_not_gzip_is_refused(server: Upstream, client: Client) -> None:
    server.on("/", replying(200, b"no gzip at all", {"content-encoding": "gzip"}))
    with pytest.raises(RefusedError, match="not the gzip"):
        get(client, server.url)
