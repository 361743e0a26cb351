"""The places at hosts that one process knows."""

from __future__ import annotations

import pytest

from region_tick.host_places import BUSY_SECONDS, UNASKED, LocalPlaces, Outcome, Place, Verdict, Wait

HOST = "upstream.test"


def taken(places: LocalPlaces, host: str = HOST) -> Place:
    place = places.take(host)
    assert isinstance(place, Place)
    return place


def throttled(seconds: float) -> Outcome:
    return Outcome(verdict=Verdict.THROTTLED, seconds=seconds, error="429")


def test_so_many_at_a_time_and_the_next_when_one_is_given_back() -> None:
    places = LocalPlaces(2)
    first, _ = taken(places), taken(places)
    assert places.take(HOST) == Wait(seconds=BUSY_SECONDS)
    assert taken(places, "other.test")
    places.give(first, UNASKED)
    assert taken(places)


def test_a_host_that_asks_for_it_is_left_alone_and_the_answer_says_why() -> None:
    places = LocalPlaces(2)
    places.give(taken(places), throttled(600))
    wait = places.take(HOST)
    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(600, abs=5)
    assert wait.reason == "429"
    assert taken(places, "other.test")


@pytest.mark.parametrize("seconds", [0.0, 5.0, 600.0])
def test_of_several_pauses_the_one_that_ends_last_holds(seconds: float) -> None:
    places = LocalPlaces(3)
    first, second, third = (taken(places) for _ in range(3))
    places.give(first, throttled(60))
    places.give(second, throttled(600))
    places.give(third, throttled(seconds))
    wait = places.take(HOST)
    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(600, abs=5)


def test_a_pause_of_no_time_is_none() -> None:
    places = LocalPlaces(1)
    places.give(taken(places), throttled(0))
    assert taken(places)


@pytest.mark.parametrize("verdict", [Verdict.ANSWERED, Verdict.FAILED, Verdict.UNASKED])
def test_nothing_else_makes_a_pause(verdict: Verdict) -> None:
    places = LocalPlaces(1)
    places.give(taken(places), Outcome(verdict=verdict, error="gone", seconds=60))
    assert taken(places)
