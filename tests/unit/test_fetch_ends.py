"""Where an answer begins and ends: no request ever gets a part of another one's answer."""

from __future__ import annotations

import gzip
import logging
import time
from contextlib import closing
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

import pytest

from region_tick.adapters import Creator, Found
from region_tick.adapters.generic import Generic
from region_tick.addresses import Addresses
from region_tick.fetch import Client, FetchError, TransientError
from region_tick.http_connection import tls
from region_tick.poll_settings import PollSettings
from region_tick.poller import Poller
from tests.harness.upstream import Asked, Upstream, make_certificate, replying, upstream
from tests.harness.waiting import eventually
from tests.unit.fetching import LOOPBACK, NAMED, get

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
WORKING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FRAMED = b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"


def saying(*parts: bytes, pause: float = 0.0) -> Callable[[Asked], None]:
    """Return an answer that sends these bytes one after the other, and keeps the connection."""

    def answer(asked: Asked) -> None:
        for part in parts:
            asked.write(part)
            asked.closing.wait(pause)

    return answer


def whole(body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)


@pytest.mark.parametrize(
    "interim",
    [[HINT], [WORKING], [CONTINUE], [HINT, WORKING, CONTINUE, HINT], [FRAMED], [HINT] * 20],
    ids=["103", "102", "100", "several", "framed", "many"],
)
@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_interim_answers_are_read_past(interim: list[bytes], pause: float, server: Upstream, client: Client) -> None:
    server.on("/hinted", saying(*interim, whole(b"one", headers=b'ETag: "1"\r\n'), pause=pause))
    server.on("/plain", replying(200, b"two"))
    for _ in range(2):
        response = get(client, f"{server.url}/hinted")
        assert (response.status, response.body, response.headers["etag"]) == (200, b"one", '"1"')
        assert get(client, f"{server.url}/plain").body == b"two"
    assert len({asked.handler.client_address for asked in server.asked}) == 1


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"x" * 300_000),
        whole(b""),
        whole(gzip.compress(b"x" * 300_000), headers=b"Content-Encoding: gzip\r\n"),
        whole(b"no", status=b"404 Not Found"),
        b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n',
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ],
    ids=["200", "empty", "gzip", "404", "304", "204", "chunks"],
)
def test_an_answer_that_ended_leaves_the_connection_to_the_next_one(
    answer: bytes, server: Upstream, client: Client
) -> None:
    server.on("/", saying(answer))
    for _ in range(3):
        get(client, server.url)
    assert len({asked.handler.client_address for asked in server.asked}) == 1


@pytest.mark.parametrize("interim", [HINT, CONTINUE], ids=["103", "100"])
def test_endless_interim_answers_end(interim: bytes, server: Upstream, client: Client) -> None:
    server.on("/", lambda asked: asked.repeat(interim))
    with pytest.raises(FetchError):
        get(client, server.url, seconds=1)


def test_another_protocol_is_not_switched_to(server: Upstream, client: Client) -> None:
    server.on("/", saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"), replying(200, b"well"))
    with pytest.raises(TransientError):
        get(client, server.url, seconds=1)
    assert get(client, server.url).body == b"well"


@pytest.mark.parametrize(
    "first",
    [
        whole(b"right") + OTHER,
        whole(b"right") + b"\r\n\r\n",
        whole(b"right") + b"x",
        whole(b"", status=b"304 Not Modified") + OTHER,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nwrong",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nwrong",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n" + OTHER,
    ],
    ids=["two answers", "lines", "a byte", "304, an answer", "304, body", "304, chunks", "304, none", "204", "chunks"],
)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "in pieces"])
def test_bytes_behind_an_answer_are_no_answer(first: bytes, apart: bool, server: Upstream, client: Client) -> None:
    pieces = [first] if not apart else [first[:-4], first[-4:]]
    server.on("/first", saying(*pieces, pause=0.0))
    server.on("/second", replying(200, b"second"))
    assert get(client, f"{server.url}/first", seconds=5).body in (b"right", b"")
    eventually(lambda: server.asked[0].sent == len(first), what="the rest has come")
    assert get(client, f"{server.url}/second").body == b"second"


def test_bytes_behind_an_answer_are_no_answer_with_tls_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path, name="upstream.test")
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    tls.cache_clear()
    with upstream(certificate=certificate) as server, closing(Client(NAMED)) as client:
        url = f"https://upstream.test:{server.port}"
        server.on("/first", saying(HINT + whole(b"right" * 3000) + OTHER * 2000))
        server.on("/second", replying(200, b"second"))
        for _ in range(3):
            assert get(client, f"{url}/first").body == b"right" * 3000
            assert get(client, f"{url}/second").body == b"second"
        server.on("/first", saying(HINT + whole(b"right")))
        before = len({asked.handler.client_address for asked in server.asked})
        for _ in range(3):
            assert get(client, f"{url}/first").body == b"right"
        assert len({asked.handler.client_address for asked in server.asked}) == before
    tls.cache_clear()


def test_a_feed_that_breaks_off_without_a_length_is_a_broken_answer(server: Upstream, client: Client) -> None:
    feed = b"<rss><channel><item><guid>1</guid></item><item><guid>2</guid></item></channel></rss>"

    def answer(asked: Asked) -> None:
        asked.write(b'HTTP/1.0 200 OK\r\nETag: "v1"\r\n\r\n' + feed[:-30])
        asked.handler.close_connection = True

    creator = Creator(id=1, platform="http", handle=None, url=server.on("/", answer))
    result = Generic().poll(creator, lambda request: client.send(request, until=time.monotonic() + 10))
    assert isinstance(result, Found)
    assert ([item.id for item in result.items], result.etag) == (["1"], None)
    assert result.problem == "127.0.0.1: the feed breaks off in line 1"


def test_creators_of_a_host_that_hints_get_their_own_items(server: Upstream) -> None:
    """Six creators with Early Hints and six without, one after the other on one connection."""

    def feed(name: str, asked: Asked) -> None:
        if int(name) % 2:
            asked.write(HINT)
            asked.closing.wait(0.05)
        asked.write(whole(b"<rss><channel><item><guid>%b</guid></item></channel></rss>" % name.encode()))

    names = [str(number) for number in range(12)]
    urls = [server.on(f"/{name}", partial(feed, name)) for name in names]
    poller = Poller(
        {"http": Generic()},
        PollSettings(concurrency_per_host=1),
        until=time.monotonic() + 30,
        stopping=Event(),
        log=logging.getLogger("test"),
        addresses=Addresses(allowed=LOOPBACK),
    )
    creators = [Creator(id=number, platform="http", handle=None, url=url) for number, url in enumerate(urls)]
    came = {one.creator.id: one.result for one in poller.poll(creators) if one is not None}
    for number, name in enumerate(names):
        result = came[number]
        assert isinstance(result, Found)
        assert [item.id for item in result.items] == [name]
