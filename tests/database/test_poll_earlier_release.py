"""Ticks of an earlier release poll beside those of this release, in one database, and after a way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.database.polls import FEED, Polls, polls, some
from tests.harness.earlier_release import EarlierRelease
from tests.harness.upstream import Upstream, conditional

__all__ = ["polls"]  # a fixture

if TYPE_CHECKING:
    from pathlib import Path

EARLIER = "51fa7c07c58df036de989748be59960c38e83280"


@pytest.fixture
def earlier(tmp_path: Path) -> dict[str, str]:
    """The variables with which a tick runs the earlier release."""
    return EarlierRelease.of(EARLIER, tmp_path / "earlier").environment


def test_both_releases_poll_and_no_region_gets_an_item_twice(
    polls: Polls, server: Upstream, earlier: dict[str, str]
) -> None:
    url = server.on("/", conditional(FEED.format("a").encode(), etag='"a"'))
    ours, theirs = polls.add(url), polls.add(url, region_id="43")
    counts = polls.counts(earlier, region_id="43")
    assert (counts["items"], "shared" in counts) == (2, False)
    assert some(polls.counts()) == {"fetched": 1, "items": 2, "requests": 1}
    server.on("/", conditional(FEED.format("b").encode(), etag='"b"'))
    assert polls.counts(earlier)["items"] == 2
    assert some(polls.counts()) == {"fetched": 1, "requests": 1}, "what the earlier release stored is known"
    polls.counts(region_id="43")
    everything = ["a-1", "a-2", "b-1", "b-2"]
    assert polls.items(ours) == polls.items(theirs) == everything
    numbers = polls.rows("SELECT count(DISTINCT seq) AS numbers, count(*) AS items FROM region_tick.items")
    assert numbers == [{"numbers": 8, "items": 8}]
