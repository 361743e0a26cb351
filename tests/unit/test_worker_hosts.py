"""How a worker treats a host."""

from __future__ import annotations

import time
from threading import Event, Thread

import pytest

from region_tick.fetch import TransientError
from region_tick.retry import ThrottledError
from region_worker.hosts import Hosts


def later() -> float:
    return time.monotonic() + 30


def test_so_many_at_a_time_and_the_next_when_one_is_done() -> None:
    host, entered, leave = Hosts(1)["upstream.test"], Event(), Event()

    def second() -> None:
        with host.turn(until=later(), check=lambda: None):
            entered.set()
            leave.wait(30)

    with host.turn(until=later(), check=lambda: None):
        thread = Thread(target=second)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(30)
    leave.set()
    thread.join()


def test_who_waits_hears_that_it_shall_stop_or_that_its_time_is_over() -> None:
    host = Hosts(1)["upstream.test"]

    def stop() -> None:
        raise InterruptedError

    with host.turn(until=later(), check=lambda: None):
        with pytest.raises(InterruptedError), host.turn(until=later(), check=stop):
            pass
        with pytest.raises(TransientError, match=r"upstream\.test is busy"), host.turn(until=0.0, check=lambda: None):
            pass


def test_a_host_that_throttles_is_left_alone_for_as_long_as_it_said() -> None:
    hosts = Hosts(2)
    hosts["upstream.test"].throttle(ThrottledError("429", 600.0))
    hosts["no-time.test"].throttle(ThrottledError("429", None))
    for name, seconds in (("upstream.test", 600), ("no-time.test", 60)):
        with hosts[name].turn(until=later(), check=lambda: None) as throttled:
            assert throttled is not None
            assert throttled.seconds == pytest.approx(seconds, abs=5)
    with hosts["other.test"].turn(until=later(), check=lambda: None) as throttled:
        assert throttled is None
    hosts["at-once.test"].throttle(ThrottledError("429", 0.0))
    with hosts["at-once.test"].turn(until=later(), check=lambda: None) as throttled:
        assert throttled is None


@pytest.mark.parametrize("seconds", [0.0, 5.0, None])
def test_what_a_host_says_later_does_not_make_it_shorter(seconds: float | None) -> None:
    host = Hosts(2)["upstream.test"]
    for said in (60.0, 600.0, seconds):
        host.throttle(ThrottledError("429", said))
    with host.turn(until=later(), check=lambda: None) as throttled:
        assert throttled is not None
        assert throttled.seconds == pytest.approx(600, abs=5)
