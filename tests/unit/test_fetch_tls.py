"""One request over TLS: certificates are verified, whatever is asked."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from region_tick.fetch import (
    Client,
    RefusedError,
    TransientError,
)
from region_tick.http_connection import tls
from tests.harness.upstream import Upstream, make_certificate, replying, upstream
from tests.unit.fetching import NAMED, get

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
