"""One request goes where it may: through redirects, names and addresses."""

from __future__ import annotations

import socket
from contextlib import closing
from ipaddress import ip_network

import pytest

from region_tick.addresses import Addresses
from region_tick.fetch import (
    REDIRECTS,
    Client,
    NoSuchHostError,
    RefusedError,
    Secret,
    TransientError,
)
from tests.harness.upstream import NO_KEY, Asked, Upstream, replying, upstream
from tests.unit.fetching import LOOPBACK, get


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(status: int, server: Upstream, client: Client) -> None:
    server.on("/from", replying(status, b"", {"location": "to?x=1"}))
    server.on("/to", replying(200, b"here"))
    assert get(client, f"{server.url}/from").body == b"here"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/café".encode(), "/caf%C3%A9"),
        ("/café".encode("latin-1"), "/caf%C3%A9"),
        ("/Ålesund/中文?q=ä".encode(), "/%C3%85lesund/%E4%B8%AD%E6%96%87"),
        (b"/caf%C3%A9", "/caf%C3%A9"),
        (b" /a b ", "/a%20b"),
        (b"/a\xff", "/a%C3%BF"),
    ],
)
def test_a_redirect_is_read_as_browsers_read_it(location: bytes, path: str, server: Upstream, client: Client) -> None:
    def redirect(asked: Asked) -> None:
        asked.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")

    server.on("/", redirect)
    server.on(path, replying(200, b"here"))
    assert get(client, server.url).body == b"here"


@pytest.mark.parametrize(
    ("statuses", "moved_to"),
    [
        ([], None),
        ([301], "/1"),
        ([308, 301], "/2"),
        ([302], None),
        ([302, 301], None),
        ([301, 302], "/1"),
        ([301, 307, 301], "/1"),
    ],
)
def test_what_has_moved_for_good_is_told(
    statuses: list[int], moved_to: str | None, server: Upstream, client: Client
) -> None:
    for number, status in enumerate(statuses):
        server.on(f"/{number}", replying(status, b"", {"location": f"/{number + 1}"}))
    server.on(f"/{len(statuses)}", replying(200, b"here"))
    response = get(client, f"{server.url}/0")
    assert response.moved_to == (None if moved_to is None else server.url + moved_to)
    assert response.url == f"{server.url}/{len(statuses)}"


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


def test_a_host_that_does_not_exist_is_told_from_one_that_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "as the resolver says")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    number = socket.EAI_NONAME
    with pytest.raises(NoSuchHostError, match=r"gone.test does not exist"):
        get(client, "http://gone.test/")
    number = socket.EAI_AGAIN
    with pytest.raises(TransientError) as caught:
        get(client, "http://gone.test/")
    assert not isinstance(caught.value, NoSuchHostError)
