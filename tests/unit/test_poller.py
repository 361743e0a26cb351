"""Creators polled at once, on a real server: how many at a time, what one does to its neighbours, and how it ends."""

from __future__ import annotations

import gc
import logging
import time
import tracemalloc
from functools import partial
from ipaddress import ip_network
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.adapters import Ask, Creator, Found, Kind, NotModified
from region_tick.adapters.generic import Generic
from region_tick.addresses import Addresses
from region_tick.fetch import FetchError, RefusedError, TransientError
from region_tick.host_places import UNASKED, LocalPlaces, Outcome, Place, Places, Wait
from region_tick.poll_settings import PollSettings
from region_tick.poller import Poller
from region_tick.retry import ATTEMPTS, ThrottledError
from tests.harness.upstream import Asked, Upstream, conditional, replying, upstream
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_tick.asking import Polled

ANY = Addresses(allowed=(ip_network("127.0.0.0/8"),), resolve=lambda _: ["127.0.0.1"])
log = logging.getLogger("test")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_tick.retry.BACKOFF_SECONDS", 0.001)


class Broken(Generic):
    """An adapter with a bug."""

    def poll(self, creator: Creator, ask: Ask) -> Found | NotModified:  # noqa: ARG002 - it has not come to that yet
        raise ZeroDivisionError(f"about {creator.url}")


class Scripted(LocalPlaces):
    """Places of which one host has none the first times, and that remember what was taken and given."""

    def __init__(self, *, full: int, host: str) -> None:
        super().__init__(2)
        self._full, self._host = full, host
        self.taken: list[str] = []
        self.given: list[str] = []
        self.outcomes: list[Outcome] = []

    def take(self, host: str) -> Place | Wait:
        if host == self._host and self._full:
            self._full -= 1
            return Wait(seconds=0.02)
        place = super().take(host)
        if isinstance(place, Place):
            self.taken.append(host)
        return place

    def give(self, place: Place, outcome: Outcome) -> None:
        self.given.append(place.host)
        self.outcomes.append(outcome)
        super().give(place, outcome)


class Counting(Generic):
    """An adapter that asks nobody, and counts for whom it was asked."""

    def __init__(self) -> None:
        self._lock, self.made = Lock(), 0

    def poll(self, creator: Creator, ask: Ask) -> Found | NotModified:  # noqa: ARG002 - as above
        with self._lock:
            self.made += 1
        return NotModified()

    def reached(self, number: int) -> bool:
        return self.made >= number


def creators(*urls: str, platform: str = "http") -> list[Creator]:
    return [Creator(id=number, platform=platform, handle=None, url=url) for number, url in enumerate(urls)]


def crew(
    *, seconds: float = 30.0, stopping: Event | None = None, places: Places | None = None, **settings: Any
) -> Poller:
    return Poller(
        {"http": Generic(), "broken": Broken()},
        PollSettings(**settings),
        until=time.monotonic() + seconds,
        stopping=stopping or Event(),
        log=log,
        addresses=ANY,
        places=places,
    )


def results(polled: Iterator[Polled | None]) -> dict[int, Found | NotModified | FetchError]:
    return {one.creator.id: one.result for one in polled if one is not None}


def test_each_creator_has_its_own_result(server: Upstream) -> None:
    good = server.on("/good", conditional(b"<rss/>", etag='"1"'))
    gone = server.on("/gone", replying(410))
    ill = server.on("/ill", replying(500))
    flaky = server.on("/flaky", replying(503), replying(502), replying(200, b"<rss/>"))
    came = results(crew().poll(creators(good, gone, ill, flaky, "no url", "http://[::1]/")))
    assert came[0] == Found(items=[], etag='"1"', kind=Kind.FEED)
    assert isinstance(came[1], RefusedError)
    assert isinstance(came[2], TransientError)
    assert isinstance(came[3], Found)
    assert isinstance(came[4], RefusedError)
    assert len(came) == 6
    assert server.paths().count("/gone") == 1
    assert server.paths().count("/ill") == ATTEMPTS


def test_requests_are_counted_also_those_that_were_made_again(server: Upstream) -> None:
    url = server.on("/", replying(503), replying(200, b"x"))
    (polled,) = [one for one in crew().poll(creators(url)) if one]
    assert polled.requests == 2


def test_an_unknown_platform_costs_its_creator_alone(server: Upstream) -> None:
    odd = Creator(id=7, platform="myspace", handle="x", url=None)
    came = results(crew().poll([odd, *creators(server.on("/", replying(200, b"x")))]))
    assert str(came[7]) == "platform 'myspace' is unknown: write one of broken, http"
    assert isinstance(came[0], Found)


def test_an_adapter_with_a_bug_costs_its_creator_alone_and_shows_in_the_log(
    server: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    (buggy,) = creators(server.url, platform="broken")
    came = results(crew().poll([buggy]))
    assert str(came[0]) == "the adapter of broken failed: ZeroDivisionError"
    assert "adapter failed" in caplog.text


def test_a_host_is_asked_by_a_few_at_a_time_and_all_hosts_by_no_more_than_there_are(server: Upstream) -> None:
    """Four hosts of one server: never more than two requests of one host, never more than five in all."""
    lock, now, most = Lock(), dict[str, int](), dict[str, int]()

    def answer(asked: Asked) -> None:
        names = (asked.headers["host"], "all")
        with lock:
            for name in names:
                now[name] = now.get(name, 0) + 1
                most[name] = max(most.get(name, 0), now[name])
        asked.closing.wait(0.03)
        with lock:
            for name in names:
                now[name] -= 1
        asked.answer(200, b"x")

    server.on("/", answer)
    urls = [f"http://host{number % 4}.test:{server.port}/" for number in range(40)]
    came = results(crew(concurrency=5, concurrency_per_host=2).poll(creators(*urls)))
    assert len(came) == 40
    assert 2 < most.pop("all") <= 5
    assert max(most.values()) == 2


def test_a_host_that_says_wait_is_not_asked_for_its_other_creators(server: Upstream) -> None:
    urls = [server.on(f"/{number}", replying(429, b"", {"retry-after": "3600"})) for number in range(10)]
    with upstream(address="127.0.0.2") as other:
        neighbour = f"http://127.0.0.2:{other.port}/"
        other.on("/", replying(200, b"x"))
        addresses = Addresses(allowed=(ip_network("127.0.0.0/8"),))
        polling = Poller(
            {"http": Generic()},
            PollSettings(concurrency_per_host=1),
            until=time.monotonic() + 30,
            stopping=Event(),
            log=log,
            addresses=addresses,
        )
        came = results(polling.poll(creators(*urls, neighbour)))
    assert len(server.asked) == 1
    throttled = [came[number] for number in range(10)]
    assert all(isinstance(one, ThrottledError) and 3590 < (one.seconds or 0) <= 3600 for one in throttled)
    assert isinstance(came[10], Found)


def test_a_503_of_one_url_is_that_urls(server: Upstream) -> None:
    """Also with a Retry-After: on a host that many share, one creator must not decide for all."""
    ill = server.on("/ill", replying(503, b"", {"retry-after": "3600"}))
    well = [server.on(f"/{number}", replying(200, b"x")) for number in range(5)]
    came = results(crew(concurrency_per_host=1).poll(creators(ill, *well)))
    assert isinstance(came[0], ThrottledError)
    assert not any(isinstance(came[number], FetchError) for number in range(1, 6))


def test_a_host_without_a_place_holds_no_thread_and_is_asked_when_it_has_one(server: Upstream) -> None:
    """The two threads serve another host meanwhile."""
    places = Scripted(full=3, host=server.host)
    with upstream(address="127.0.0.2") as other:
        urls = [server.on(f"/{number}", replying(200, b"x")) for number in range(2)]
        others = [other.on(f"/{number}", replying(200, b"x")) for number in range(20)]
        addresses = Addresses(allowed=(ip_network("127.0.0.0/8"),))
        polling = Poller(
            {"http": Generic()},
            PollSettings(concurrency=2),
            until=time.monotonic() + 30,
            stopping=Event(),
            log=log,
            addresses=addresses,
            places=places,
        )
        came = [one.creator.id for one in polling.poll(creators(*urls, *others)) if one]
    assert sorted(came) == list(range(22))
    assert came.index(0) > 2
    assert sorted(places.taken) == sorted(places.given)


def test_places_are_given_back_when_the_caller_goes(server: Upstream) -> None:
    places = Scripted(full=0, host=server.host)
    server.on("/", lambda asked: asked.repeat(b"", pause=0.02))
    polling = crew(places=places).poll(creators(server.url + "/", server.url + "/"))
    assert next(polling) is None
    polling.close()
    assert places.taken == places.given == [server.host] * 2


def test_when_time_is_over_the_rest_is_left_and_who_was_cut_off_has_not_failed(server: Upstream) -> None:
    server.on("/", lambda asked: asked.repeat(b"", pause=0.02))
    places = Scripted(full=0, host="")
    assert results(crew(seconds=3.0, places=places).poll(creators(*[server.url] * 5))) == {}
    assert places.outcomes == [UNASKED] * 2
    assert len(server.asked) == 2


def test_a_thread_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_tick.poller._PATIENCE_SECONDS", 0.1)
    released = Event()

    def hang(_: str) -> list[str]:
        released.wait(20)
        return []

    polling = Poller(
        {"http": Generic()},
        PollSettings(),
        until=time.monotonic() + 0.1,
        stopping=Event(),
        log=log,
        addresses=Addresses(resolve=hang),
    )
    assert results(polling.poll(creators("http://hangs.test/"))) == {}
    released.set()


def test_many_failures_hold_no_bodies(server: Upstream) -> None:
    server.on("/", replying(404, bytes(2**20)))
    gc.disable()
    tracemalloc.start()
    try:
        came = results(crew(concurrency_per_host=1).poll(creators(*[server.url] * 20)))
        assert len(came) == 20
        assert tracemalloc.get_traced_memory()[0] < 5 * 2**20
    finally:
        tracemalloc.stop()
        gc.enable()


def test_results_are_made_no_faster_than_they_are_taken() -> None:
    """A result can be megabytes, and the database slower than the upstreams."""
    counting, threads = Counting(), 3
    polling = Poller(
        {"http": counting},
        PollSettings(concurrency=threads, concurrency_per_host=threads),
        until=time.monotonic() + 30,
        stopping=Event(),
        log=log,
    )
    taken = 0
    for polled in polling.poll(creators(*["http://upstream.test/"] * 12)):
        taken += polled is not None
        room = min(12, taken + threads)
        eventually(partial(counting.reached, room), what="the threads go as far as they may")
        assert counting.made == room
    assert taken == 12


def test_who_is_refused_beforehand_waits_for_nobody() -> None:
    came = results(crew().poll(creators(*["no url"] * 20)))
    assert len(came) == 20


def test_the_caller_can_look_around_while_an_upstream_is_slow(server: Upstream) -> None:
    stopping = Event()
    server.on("/", lambda asked: asked.repeat(b"", pause=0.02))
    polling = crew(stopping=stopping, request_seconds=2).poll(creators(server.url))
    assert next(polling) is None
    stopping.set()
    last = [one for one in polling if one][-1]
    assert isinstance(last.result, TransientError)
    assert len(server.asked) == 1
