"""lease.py: what follows from a look at a Lease, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from math import inf
from typing import Any

import pytest

from region_operator.lease import LEASE_SECONDS, Record, Step, decide, held, released

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def record(holder: str, seconds: float = 15) -> Record:
    return Record(version="7", holder=holder, seconds=seconds)


@pytest.mark.parametrize(
    ("seen", "observed_since", "now", "expected"),
    [
        # nothing was ever seen: whoever is first makes it
        (None, -inf, 100, Step.CREATE),
        # it was there and has gone: its holder may not know yet
        (None, 100, 100, Step.WAIT),
        (None, 100, 114.9, Step.WAIT),
        (None, 100, 115, Step.CREATE),
        # another's, whatever the times in it say
        (record("b"), 100, 100, Step.WAIT),
        (record("b"), 100, 114.9, Step.WAIT),
        (record("b"), 100, 115, Step.TAKE),
        # the holder says how long it holds
        (record("b", seconds=60), 100, 159, Step.WAIT),
        (record("b", seconds=60), 100, 160, Step.TAKE),
        # released: nobody needs to be waited for
        (record("", seconds=1), 100, 100, Step.TAKE),
        # ours: renewed, or written by a request whose answer was lost
        (record("a"), 100, 101, Step.RENEW),
        (record("a"), 100, 500, Step.RENEW),
    ],
)
def test_what_follows_from_a_look(seen: Record | None, observed_since: float, now: float, expected: Step) -> None:
    assert decide(seen, identity="a", observed_since=observed_since, now=now) is expected


def test_a_lease_is_read_also_where_its_fields_are_missing() -> None:
    body: dict[str, Any] = {"metadata": {"resourceVersion": "7"}}
    assert Record.from_object(body) == Record(version="7", holder="", seconds=LEASE_SECONDS)
    body["spec"] = {"holderIdentity": "b", "leaseDurationSeconds": 40}
    assert Record.from_object(body) == Record(version="7", holder="b", seconds=40)


def test_the_first_holder_makes_it_and_counts_no_transition() -> None:
    lease = held(None, identity="a", now=NOON.astimezone(timezone(timedelta(hours=2))))
    assert lease["metadata"] == {"name": "region-operator"}
    assert lease["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-11-24T12:00:00.000000Z",
        "renewTime": "2026-11-24T12:00:00.000000Z",
        "leaseTransitions": 0,
    }


def test_a_renewal_changes_the_time_of_renewal_alone() -> None:
    lease = held(None, identity="a", now=NOON)
    later = held(lease, identity="a", now=NOON + timedelta(seconds=5))
    assert later["spec"] == lease["spec"] | {"renewTime": "2026-11-24T12:00:05.000000Z"}


def test_another_holder_counts_as_a_transition_and_what_others_wrote_stays() -> None:
    lease = held(None, identity="a", now=NOON) | {"metadata": {"name": "x", "labels": {"l": "1"}, "uid": "u"}}
    nobodys = released(lease, now=NOON + timedelta(seconds=1))
    assert (nobodys["spec"]["holderIdentity"], nobodys["spec"]["leaseDurationSeconds"]) == ("", 1)
    taken = held(nobodys, identity="b", now=NOON + timedelta(seconds=2))
    assert taken["metadata"] == lease["metadata"]
    assert taken["spec"] == {
        "holderIdentity": "b",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-11-24T12:00:02.000000Z",
        "renewTime": "2026-11-24T12:00:02.000000Z",
        "leaseTransitions": 1,
    }
