"""Defines what a platform's key may spend in a day, and who counts it.

A platform takes units from a key's day for each request. A request that the day has no units left for is not sent.
shared_budgets counts for all pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from region_tick.fetch import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyBudget:
    """The units that one key may spend in a day."""

    platform: str
    account: str
    """What tells the key from other keys, and does not tell the key: see `account_of`."""
    units: int
    setting: str
    """The variable that sets `units`, for people."""
    zone: str
    """The time zone in whose midnight the day begins, as Postgres knows it: `America/Los_Angeles`."""


class Budgets(Protocol):
    """Counts what is spent."""

    def spend(self, budget: DailyBudget, units: int) -> None:
        """Take units from the day before a request is sent. Raises ThrottledError if the day has too few left."""


def account_of(platform: str, key: Secret) -> str:
    """Return 32 hexadecimal digits that stand for a key. A key is long and random, so nobody finds it by guessing."""
    return sha256(f"region-tick {platform} {key.value}".encode()).hexdigest()[:32]
