"""One request against a server that misbehaves: it ends, in time and in memory, and goes where it may."""

from __future__ import annotations

import gzip
import logging
import socket
import time
import tracemalloc
import zlib
from contextlib import closing
from ipaddress import ip_network
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.addresses import Addresses
from region_tick.connection import tls
from region_tick.fetch import (
    BODY_LIMIT,
    REDIRECTS,
    Client,
    FetchError,
    RefusedError,
    Request,
    Response,
    Secret,
    TransientError,
    host_of,
)
from tests.upstream import NO_KEY, Asked, Upstream, make_certificate, replying, upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOOPBACK = (ip_network("127.0.0.1"),)
NAMED = Addresses(allowed=LOOPBACK, resolve=lambda _: ["127.0.0.1"])
"""Every name is this machine's."""


@pytest.fixture
def client() -> Iterator[Client]:
    with closing(Client(Addresses(allowed=LOOPBACK))) as client:
        yield client


def get(client: Client, url: str, *, seconds: float = 10.0, **request: Any) -> Response:
    return client.send(Request(url=url, **request), until=time.monotonic() + seconds)


def test_an_answer_is_status_headers_and_body(server: Upstream, client: Client) -> None:
    url = server.on("/a", replying(200, b"hello", {"etag": '"1"'}))
    response = get(client, f"{url}?b=c%20d", headers={"If-None-Match": '"0"'})
    assert (response.status, response.body, response.headers["ETag"]) == (200, b"hello", '"1"')
    (asked,) = server.asked
    assert (asked.query, asked.headers["if-none-match"], asked.headers["host"]) == ({"b": ["c d"]}, '"0"', server.host)
    assert asked.headers["user-agent"].startswith("region-tick/")


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


# Time


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


@pytest.mark.parametrize("answer", SLOW, ids=lambda answer: answer.__name__)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_however_slow_an_answer_is_the_request_ends(
    answer: Callable[[Asked], None], scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, name="upstream.test") if scheme == "https" else None
    if certificate:
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    tls.cache_clear()
    with upstream(certificate=certificate) as server, closing(Client(NAMED)) as client:
        server.on("/", answer)
        with pytest.raises(TransientError, match=r"upstream\.test did not answer in full within \d+\.\d s"):
            get(client, f"{scheme}://upstream.test:{server.port}/", seconds=0.3)
    tls.cache_clear()


def test_redirects_share_the_time_of_the_request(server: Upstream, client: Client) -> None:
    def slow_redirect(asked: Asked) -> None:
        asked.closing.wait(0.2)
        asked.answer(302, location="/")

    server.on("/", slow_redirect)
    with pytest.raises(TransientError, match="did not answer in full"):
        get(client, server.url, seconds=0.5)


def test_a_server_that_takes_no_connection_does_not_hold_the_request(client: Client) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), pytest.raises(TransientError):
            get(client, f"http://127.0.0.1:{port}/", seconds=0.3)


def test_a_tls_handshake_that_never_comes_does_not_hold_the_request(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(TransientError, match="did not answer"):
        get(client, f"https://127.0.0.1:{mute.getsockname()[1]}/", seconds=0.3)


# Size


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


# Broken answers


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


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(status: int, server: Upstream, client: Client) -> None:
    server.on("/from", replying(status, b"", {"location": "to?x=1"}))
    server.on("/to", replying(200, b"here"))
    assert get(client, f"{server.url}/from").body == b"here"


def test_a_redirect_loop_ends(server: Upstream, client: Client) -> None:
    server.on("/a", replying(302, b"", {"location": "/b"}))
    server.on("/b", replying(302, b"", {"location": "/a"}))
    with pytest.raises(RefusedError, match=f"more than {REDIRECTS} times"):
        get(client, f"{server.url}/a")
    assert len(server.asked) == REDIRECTS + 1


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://upstream.test/", "gopher://x/", "http://", "http://[::1", "//user:pw@127.0.0.1/"],
)
def test_a_redirect_to_what_is_no_url_of_ours_is_refused(location: str, server: Upstream, client: Client) -> None:
    server.on("/", replying(302, b"", {"location": location}))
    with pytest.raises(RefusedError) as caught:
        get(client, server.url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    ["127.0.0.2", "localhost.:{}", "169.254.169.254/latest/meta-data/", "[::1]", "[::ffff:7f00:2]", "10.96.0.1"],
)
def test_a_redirect_to_where_requests_may_not_go_is_not_followed(target: str, server: Upstream) -> None:
    location = f"http://{target.format(server.port)}"
    server.on("/", replying(302, b"", {"location": location}))
    allowed = Addresses(allowed=LOOPBACK, resolve=lambda host: ["127.0.0.9" if host.startswith("local") else host])
    with closing(Client(allowed)) as client, pytest.raises(RefusedError, match="POLL_ALLOW_NETWORKS"):
        get(client, server.url)
    assert len(server.asked) == 1


def test_a_post_is_not_redirected(server: Upstream, client: Client) -> None:
    server.on("/", replying(307, b"", {"location": "/elsewhere"}))
    with pytest.raises(RefusedError, match="redirects a POST"):
        get(client, server.url, method="POST", body=b"x")
    assert server.paths() == ["/"]


def test_a_key_goes_to_its_own_origin_alone(server: Upstream, client: Client) -> None:
    with upstream() as other:
        other.on("/", replying(200, b"other"))
        server.on("/here", replying(302, b"", {"location": "/there"}))
        server.on("/there", replying(302, b"", {"location": other.url}))
        get(client, f"{server.url}/here", secrets={"X-Key": Secret(NO_KEY)})
        assert [asked.headers.get("x-key") for asked in (*server.asked, *other.asked)] == [NO_KEY, NO_KEY, None]


# Addresses


def test_loopback_is_refused_without_a_request(server: Upstream) -> None:
    with closing(Client(Addresses())) as client, pytest.raises(RefusedError, match="not public"):
        get(client, server.url)
    assert server.asked == []


def test_a_name_is_resolved_once_and_the_connection_goes_there() -> None:
    """DNS rebinding: the second answer of the name's server, a loopback address, is never used unjudged."""
    answers = [["127.0.0.2"], ["127.0.0.1"]]
    rebinding = Addresses(allowed=(ip_network("127.0.0.2"),), resolve=lambda _: answers.pop(0))
    with upstream(address="127.0.0.2") as good, upstream() as secret, closing(Client(rebinding)) as client:
        good.on("/", replying(200, b"good", {"connection": "close"}))
        secret.on("/", replying(200, b"secret"))
        assert get(client, f"http://rebind.test:{good.port}/").body == b"good"
        assert good.asked[0].headers["host"] == f"rebind.test:{good.port}"
        with pytest.raises(RefusedError, match=r"rebind\.test has the address 127\.0\.0\.1"):
            get(client, f"http://rebind.test:{secret.port}/")
        assert secret.asked == []
    assert answers == []


def test_the_next_address_is_tried_when_one_does_not_answer(server: Upstream) -> None:
    server.on("/", replying(200, b"second"))
    both = Addresses(allowed=(ip_network("127.0.0.0/8"),), resolve=lambda _: ["127.0.0.3", "127.0.0.1"])
    with closing(Client(both)) as client:
        assert get(client, f"http://two.test:{server.port}/").body == b"second"


def test_proxies_of_the_environment_are_not_used(
    server: Upstream, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.on("/", replying(200, b"straight"))
    assert get(client, server.url).body == b"straight"


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path, name="upstream.test")


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    tls.cache_clear()
    yield certificate
    tls.cache_clear()


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    tls.cache_clear()
    with upstream(certificate=certificate) as server, closing(Client(NAMED)) as client:
        server.on("/", replying(200, b"x"))
        with pytest.raises(RefusedError, match=r"certificate of upstream\.test is not valid: self-signed"):
            get(client, f"https://upstream.test:{server.port}/")
        assert server.asked == []


def test_a_good_certificate_is_for_the_name_not_for_the_address(trusted: Path) -> None:
    with upstream(certificate=trusted) as server, closing(Client(NAMED)) as client:
        server.on("/", replying(200, b"x" * 100_000))
        assert len(get(client, f"https://upstream.test:{server.port}/").body) == 100_000
        for other in ("other.test", "127.0.0.1"):
            with pytest.raises(RefusedError, match=f"certificate of {other} is not valid: .*mismatch"):
                get(client, f"https://{other}:{server.port}/")


def test_no_way_leads_from_https_to_http(trusted: Path, server: Upstream) -> None:
    with upstream(certificate=trusted) as secure, closing(Client(NAMED)) as client:
        secure.on("/", replying(302, b"", {"location": server.url}))
        with pytest.raises(RefusedError, match="from https to http"):
            get(client, f"https://upstream.test:{secure.port}/")


def test_what_is_no_tls_is_transient(server: Upstream, client: Client) -> None:
    with pytest.raises(TransientError, match="SSL"):
        get(client, f"https://{server.host}/")


# What shows


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
    assert host_of("https://upstream.test/a") == "upstream.test"


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
