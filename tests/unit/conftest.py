"""What several unit tests need."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from region_tick.addresses import Addresses
from region_tick.fetch import Client
from tests.unit.fetching import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client() -> Iterator[Client]:
    """One that may go to this machine."""
    with closing(Client(Addresses(allowed=LOOPBACK))) as client:
        yield client
