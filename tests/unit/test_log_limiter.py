"""runtime/log_limiter.py: which consecutive failures get a log line. The test owns the clock."""

from __future__ import annotations

from region_operator.runtime.log_limiter import REMIND_EVERY_SECONDS, LogLimiter
from tests.harness.clock import Clock


def test_a_failure_that_lasts_is_told_when_it_begins_then_rarely_and_when_it_is_over() -> None:
    clock = Clock(1000.0)
    streak = LogLimiter(clock=clock)
    assert streak.record_success() is None
    assert streak.record_failure("refused") == {"attempts": 1, "for_seconds": 0.0}
    told = []
    for _ in range(100):
        clock.now += 30
        told.append(streak.record_failure("refused"))
    said = [keys for keys in told if keys]
    assert said[0] == {"attempts": 11, "for_seconds": REMIND_EVERY_SECONDS}
    assert len(said) == 10
    clock.now += 1.26
    assert streak.record_success() == {"attempts": 101, "for_seconds": 3001.3}
    assert streak.record_success() is None


def test_another_message_is_told_at_once() -> None:
    clock = Clock(1000.0)
    streak = LogLimiter(clock=clock)
    streak.record_failure("refused")
    clock.now += 1
    assert streak.record_failure("no answer") == {"attempts": 2, "for_seconds": 1.0}
    assert streak.record_failure("no answer") is None
    assert streak.record_failure("refused") == {"attempts": 4, "for_seconds": 1.0}


def test_after_its_end_the_next_begins_anew() -> None:
    clock = Clock(1000.0)
    streak = LogLimiter(clock=clock)
    streak.record_failure("refused")
    streak.record_success()
    clock.now += 60
    assert streak.record_failure("refused") == {"attempts": 1, "for_seconds": 0.0}
