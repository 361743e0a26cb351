"""One request against a server that takes its time: it ends all the same."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from region_tick.fetch import (
    Client,
    TransientError,
)
from region_tick.http_connection import tls
from tests.harness.upstream import Asked, Upstream, make_certificate, upstream
from tests.unit.answers import SLOW
from tests.unit.fetching import NAMED, get

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
            get(client, f"{scheme}://upstream.test:{server.port}/", seconds=0.6)
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
