"""Clients that are kept between requests, on a real server."""

from __future__ import annotations

import time
from ipaddress import ip_network
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from region_tick import clients
from region_tick.addresses import Addresses
from region_tick.clients import IDLE_LIMIT, Clients
from region_tick.fetch import Client, Request
from tests.harness.upstream import Asked, Upstream, replying

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY = Addresses(allowed=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def kept() -> Iterator[Clients]:
    kept = Clients(lambda: Client(ANY))
    yield kept
    kept.close()


def ask(kept: Clients, server: Upstream, host: str = "here") -> object:
    """Ask the server; return the port that the request came from."""
    with kept.lend(host) as client:
        client.send(Request(url=f"{server.url}/"), until=time.monotonic() + 10)
    return server.asked[-1].handler.client_address[1]


def test_the_next_request_finds_the_connection_open(kept: Clients, server: Upstream) -> None:
    server.on("/", replying(200, b"x"))
    assert len({ask(kept, server) for _ in range(3)}) == 1
    assert ask(kept, server, "elsewhere") != ask(kept, server)


def test_two_at_a_time_have_a_client_each(kept: Clients) -> None:
    lent: list[Client] = []

    def borrow() -> None:
        with kept.lend("here") as client:
            lent.append(client)

    with kept.lend("here") as client:
        thread = Thread(target=borrow)
        thread.start()
        thread.join(30)
    assert len({id(client), *map(id, lent)}) == 2


def test_what_nobody_uses_is_closed(kept: Clients, server: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    server.on("/", replying(200, b"x"))
    first = ask(kept, server)
    monkeypatch.setattr(clients, "IDLE_SECONDS", -1.0)
    assert ask(kept, server) != first


def test_a_client_that_failed_in_an_unforeseen_way_is_not_lent_again(kept: Clients) -> None:
    with pytest.raises(ZeroDivisionError), kept.lend("here") as broken:
        raise ZeroDivisionError
    with kept.lend("here") as client:
        assert client is not broken


def test_a_connection_that_the_server_closed_is_made_again(kept: Clients, server: Upstream) -> None:
    def answer(asked: Asked) -> None:
        asked.answer(200, b"x", connection="close")
        asked.handler.close_connection = True

    server.on("/", answer)
    assert ask(kept, server) != ask(kept, server)


def test_of_many_hosts_only_the_last_ones_keep_their_connections(kept: Clients, server: Upstream) -> None:
    server.on("/", replying(200, b"x"))
    ports = [ask(kept, server, f"host-{number}") for number in range(IDLE_LIMIT + 20)]
    assert ask(kept, server, f"host-{IDLE_LIMIT + 19}") == ports[-1]
    assert ask(kept, server, "host-20") == ports[20]
    assert ask(kept, server, "host-19") != ports[19]
