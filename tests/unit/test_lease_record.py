"""kube/lease_record.py: the step that follows a look at a Lease, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from math import inf
from typing import Any

import pytest

from region_operator.kube.lease_record import (
    LEASE_SECONDS,
    LeaseRecord,
    Step,
    decide,
    held,
    last_scheduler,
    released,
    remembering,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def record(holder: str, *, released: bool = False) -> LeaseRecord:
    return LeaseRecord(version="7", holder=holder, released=released)


@pytest.mark.parametrize(
    ("seen", "observed_since", "now", "expected"),
    [
        # nobody can have led: whoever is first makes it
        (None, -inf, 100, Step.CREATE),
        # it has gone: its holder may not know yet
        (None, 100, 100, Step.WAIT),
        (None, 100, 114.9, Step.WAIT),
        (None, 100, 115, Step.CREATE),
        # another's
        (record("b"), 100, 100, Step.WAIT),
        (record("b"), 100, 114.9, Step.WAIT),
        (record("b"), 100, 115, Step.TAKE),
        # released: nobody needs to be waited for
        (record("", released=True), 100, 100, Step.TAKE),
        # emptied by somebody else: its holder may not know yet
        (record(""), 100, 114.9, Step.WAIT),
        (record(""), 100, 115, Step.TAKE),
        # ours: renewed, or written by a request whose answer was lost
        (record("a"), 100, 101, Step.RENEW),
        (record("a"), 100, 500, Step.RENEW),
    ],
)
def test_what_follows_from_a_look(seen: LeaseRecord | None, observed_since: float, now: float, expected: Step) -> None:
    assert decide(seen, identity="a", observed_since=observed_since, now=now) is expected


@pytest.mark.parametrize(
    "edit",
    [
        {"renewTime": "2036-11-24T12:00:00.000000Z"},
        {"renewTime": "2016-11-24T12:00:00.000000Z", "acquireTime": "2036-11-24T12:00:00.000000Z"},
        {"renewTime": None, "acquireTime": None},
        {"leaseDurationSeconds": 1},
        {"leaseDurationSeconds": 3600},
        {"leaseDurationSeconds": None},
        {"leaseTransitions": None},
        {"holderIdentity": ""},
        {"holderIdentity": None},
        {"holderIdentity": "c"},
        {"holderIdentity": "", "leaseDurationSeconds": 3600},
        {"preferredHolder": "c", "strategy": "OldestEmulationVersion"},
        dict.fromkeys(("holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions")),
    ],
)
def test_whatever_somebody_writes_into_a_lease_it_is_taken_when_it_has_not_changed_for_its_duration(
    edit: dict[str, Any],
) -> None:
    spec = {
        key: value for key, value in (held(None, identity="b", now=NOON)["spec"] | edit).items() if value is not None
    }
    lease = {"metadata": {"name": "region-operator", "resourceVersion": "7"}, "spec": spec}
    seen = LeaseRecord.from_object(lease)
    assert decide(seen, identity="a", observed_since=100, now=100 + LEASE_SECONDS - 0.1) is Step.WAIT
    assert decide(seen, identity="a", observed_since=100, now=100 + LEASE_SECONDS) is Step.TAKE
    taken = held(lease, identity="a", now=NOON)["spec"]
    assert (taken["holderIdentity"], taken["leaseDurationSeconds"]) == ("a", LEASE_SECONDS)
    assert taken["renewTime"] == taken["acquireTime"] == "2026-11-24T12:00:00.000000Z"


def test_only_what_a_release_writes_is_released() -> None:
    lease = held(None, identity="b", now=NOON) | {"metadata": {"resourceVersion": "7"}}
    assert LeaseRecord.from_object(lease) == LeaseRecord(version="7", holder="b", released=False)
    assert LeaseRecord.from_object(released(lease, now=NOON)) == LeaseRecord(version="7", holder="", released=True)
    assert LeaseRecord.from_object({"metadata": {"resourceVersion": "7"}}) == LeaseRecord(
        version="7", holder="", released=False
    )


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


@pytest.mark.parametrize("annotations", [{}, {"annotations": {"theirs": "1"}}])
def test_the_last_scheduler_is_remembered_whoever_holds_the_lease(annotations: dict[str, Any]) -> None:
    lease = held(
        {"metadata": {"name": "region-operator", "resourceVersion": "7"} | annotations}, identity="a", now=NOON
    )
    assert last_scheduler(lease) == ""
    marked = remembering(lease, "u1")
    assert (marked["spec"], marked["metadata"]["resourceVersion"]) == (lease["spec"], "7")
    assert annotations.get("annotations", {}).items() <= marked["metadata"]["annotations"].items()
    assert last_scheduler(released(held(marked, identity="b", now=NOON), now=NOON)) == "u1"
    assert last_scheduler(remembering(marked, "u2")) == "u2"
    assert last_scheduler({}) == ""
