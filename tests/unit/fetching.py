"""One request of the tests' own, to servers on this machine."""

from __future__ import annotations

import time
from ipaddress import ip_network
from typing import Any

from region_tick.addresses import Addresses
from region_tick.fetch import Client, Request, Response

LOOPBACK = (ip_network("127.0.0.1"),)
NAMED = Addresses(allowed=LOOPBACK, resolve=lambda _: ["127.0.0.1"])
"""Every name is this machine's."""


def get(client: Client, url: str, *, seconds: float = 10.0, **request: Any) -> Response:
    return client.send(Request(url=url, **request), until=time.monotonic() + seconds)
