"""What stands for a key in the database does not tell the key."""

from __future__ import annotations

import re

from region_tick.daily_budget import account_of
from region_tick.fetch import Secret
from tests.harness.upstream import NO_KEY


def test_an_account_tells_keys_and_platforms_apart_and_is_no_key() -> None:
    accounts = [account_of(platform, Secret(key)) for platform in ("youtube", "other") for key in (NO_KEY, "another")]
    assert len(set(accounts)) == 4
    assert accounts[0] == account_of("youtube", Secret(NO_KEY))
    assert all(re.fullmatch("[0-9a-f]{32}", account) for account in accounts)
