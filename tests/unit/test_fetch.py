"""One request: what an answer is, what of it is an error, and what errors show."""

from __future__ import annotations

import gzip
import logging
import socket
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from region_tick.addresses import Addresses
from region_tick.fetch import (
    Client,
    FetchError,
    RefusedError,
    Request,
    Secret,
    TransientError,
    host_of,
)
from tests.harness.upstream import NO_KEY, Asked, Upstream, replying
from tests.unit.answers import BROKEN, SLOW, bomb, endless_redirect
from tests.unit.fetching import LOOPBACK, get

if TYPE_CHECKING:
    from collections.abc import Callable


def test_an_answer_is_status_headers_and_body(server: Upstream, client: Client) -> None:
    url = server.on("/a", replying(200, b"hello", {"etag": '"1"'}))
    response = get(client, f"{url}?b=c%20d", headers={"If-None-Match": '"0"'})
    assert (response.status, response.body, response.headers["ETag"]) == (200, b"hello", '"1"')
    (asked,) = server.asked
    assert (asked.query, asked.headers["if-none-match"], asked.headers["host"]) == ({"b": ["c d"]}, '"0"', server.host)
    assert asked.headers["user-agent"].startswith("region-tick/")
    assert asked.headers["accept"].endswith("*/*;q=0.8")


def test_a_user_agent_can_be_set(server: Upstream) -> None:
    server.on("/", replying(200, b"x"))
    with closing(Client(Addresses(allowed=LOOPBACK), user_agent="acme/1 (+https://acme.example/bot)")) as client:
        get(client, server.url)
    assert server.asked[0].headers["user-agent"] == "acme/1 (+https://acme.example/bot)"


@pytest.mark.parametrize("status", [204, 304, 404, 429, 500, 503])
def test_a_status_is_an_answer_whatever_it_is(status: int, server: Upstream, client: Client) -> None:
    assert get(client, server.on("/", replying(status))).status == status


def test_a_connection_serves_many_requests(server: Upstream, client: Client) -> None:
    server.on("/", replying(200, b"x"))
    for _ in range(3):
        get(client, server.url)
    assert len({asked.handler.client_address for asked in server.asked}) == 1


def test_a_connection_that_the_server_closed_is_made_anew(server: Upstream, client: Client) -> None:
    server.on("/", replying(200, b"x", {"connection": "close"}))
    assert [get(client, server.url).body for _ in range(3)] == [b"x"] * 3


def test_a_body_is_unpacked(server: Upstream, client: Client) -> None:
    server.on("/", replying(200, gzip.compress(b"packed" * 1000), {"content-encoding": "gzip"}))
    assert get(client, server.url).body == b"packed" * 1000
    assert server.asked[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("answer", BROKEN, ids=lambda answer: answer.__name__)
def test_a_broken_answer_is_transient(answer: Callable[[Asked], None], server: Upstream, client: Client) -> None:
    server.on("/", answer, replying(200, b"well"))
    with pytest.raises(TransientError):
        get(client, server.url)
    assert get(client, server.url).body == b"well"


def test_a_port_where_nobody_listens_is_transient(client: Client) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(TransientError, match="refused"):
            get(client, f"http://127.0.0.1:{free.getsockname()[1]}/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "ftp://h/",
        "http://",
        f"http://user:{NO_KEY}@h/",
        f"https://{NO_KEY}:@h/",
        f"http://[{NO_KEY}",
        f"http://h:{NO_KEY}/",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(url: str, client: Client) -> None:
    with pytest.raises(RefusedError) as caught:
        get(client, url)
    assert NO_KEY not in str(caught.value)
    with pytest.raises(RefusedError):
        host_of(url)


@pytest.mark.parametrize("answer", [*SLOW, *BROKEN, bomb, endless_redirect], ids=lambda answer: answer.__name__)
def test_no_error_and_no_line_shows_a_query_or_a_key(
    answer: Callable[[Asked], None], server: Upstream, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    server.on("/", answer)
    with caplog.at_level(logging.INFO), pytest.raises(FetchError) as caught:
        get(client, f"{server.url}/?token={NO_KEY}", seconds=0.3, secrets={"X-Key": Secret(NO_KEY)})
    assert NO_KEY in server.asked[0].headers["x-key"]
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__} {caplog.text}"
    assert NO_KEY not in shown


def test_values_show_no_key() -> None:
    request = Request(url="https://h/", secrets={"X-Key": Secret(NO_KEY)}, body=NO_KEY.encode())
    assert NO_KEY not in f"{request!r} {request}"


def test_a_request_that_cannot_be_sent_is_refused(server: Upstream, client: Client) -> None:
    with pytest.raises(RefusedError, match="cannot be sent: ValueError") as caught:
        get(client, server.url, secrets={"X-Key": Secret(f"{NO_KEY}\r\nx: y")})
    assert NO_KEY not in str(caught.value)


def test_a_host_counts_with_its_port() -> None:
    assert host_of("HTTPS://Upstream.Test:8443/a?b") == "upstream.test:8443"
    for url in (
        "https://upstream.test/a",
        "https://upstream.test:443",
        "https://UPSTREAM.test./",
        "http://upstream.test:80",
    ):
        assert host_of(url) == "upstream.test"
    assert host_of("http://upstream.test:443/") == "upstream.test:443"
    assert host_of("https://[::1]:443/") == "[::1]"


@pytest.mark.parametrize("around", ["{}\n", " {}", "\t{}\r\n", "\u00a0{}\u200b", "\ufeff{}"])
def test_blanks_around_a_url_do_not_matter(around: str, server: Upstream, client: Client) -> None:
    server.on("/a", replying(200, b"x"))
    assert get(client, around.format(f"{server.url}/a")).body == b"x"
    assert server.paths() == ["/a"]


@pytest.mark.parametrize("within", ["\n", "\r", "\t", "\x00", "\u200b", "\u2028"])
def test_a_character_within_a_url_that_does_not_show_is_named(within: str, server: Upstream, client: Client) -> None:
    with pytest.raises(RefusedError, match="line break or another character that does not show"):
        get(client, f"{server.url}/a{within}b")
    assert server.asked == []


def test_two_clients_do_not_share_a_connection(server: Upstream) -> None:
    server.on("/", replying(200, b"x"))

    def one() -> None:
        with closing(Client(Addresses(allowed=LOOPBACK))) as client:
            get(client, server.url)

    threads = [Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({asked.handler.client_address for asked in server.asked}) == 2
