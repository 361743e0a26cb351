"""runtime/remote_clock.py: what answers tell of another machine's clock, and how surely."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.runtime.remote_clock import DRIFT, RemoteClock, Skew
from tests.harness.clock import Clock

START = datetime(2026, 11, 29, 12, tzinfo=UTC)

seconds = st.floats(0, 5, allow_nan=False)


def answer(remote: RemoteClock, clock: Clock, truth: datetime, *, there: float, back: float, resolution: float) -> None:
    """Let an answer come that was written `there` seconds after the request left, `back` seconds before it came.

    `truth` is the other clock's time when the monotonic clock says 0.
    """
    sent = clock.now
    written = (truth + timedelta(seconds=sent + there)).timestamp()
    shown = written - written % resolution if resolution else written
    clock.now = sent + there + back
    remote.observe(datetime.fromtimestamp(shown, UTC), resolution=resolution, sent=sent)


def test_nothing_is_known_before_the_first_answer() -> None:
    clock = RemoteClock(Clock())
    assert clock.now() is None
    assert clock.ahead_of(clock) is None


@given(st.lists(st.tuples(seconds, seconds, st.floats(0, 100)), min_size=1), st.sampled_from([0, 1]), seconds)
def test_the_truth_is_always_within_the_error(
    answers: list[tuple[float, float, float]], resolution: float, ahead: float
) -> None:
    clock = Clock()
    remote, exact = RemoteClock(clock), RemoteClock(clock)
    truth = START + timedelta(seconds=ahead)
    for there, back, pause in answers:
        answer(remote, clock, truth, there=there, back=back, resolution=resolution)
        clock.now += pause
        exact.observe(START + timedelta(seconds=clock.now), resolution=0, sent=clock.now)
        skew = remote.ahead_of(exact)
        assert skew is not None
        assert abs(skew.seconds - ahead) <= skew.error + 1e-5  # datetimes have microseconds


def test_whole_seconds_become_exact_by_many_answers() -> None:
    clock = Clock()
    remote, exact = RemoteClock(clock), RemoteClock(clock)
    for _ in range(100):
        answer(remote, clock, START, there=0.005, back=0.005, resolution=1)
        clock.now += 0.363
    exact.observe(START + timedelta(seconds=clock.now), resolution=0, sent=clock.now)
    skew = remote.ahead_of(exact)
    assert skew is not None
    assert skew.error < 0.05
    assert abs(skew.seconds) < 0.05


def test_an_estimate_becomes_vague_with_time_and_goes_on_with_the_monotonic_clock() -> None:
    clock = Clock()
    remote = RemoteClock(clock)
    remote.observe(START, resolution=0, sent=0)
    clock.now += 3600
    assert remote.now() == START + timedelta(hours=1)
    exact = RemoteClock(clock)
    exact.observe(START, resolution=0, sent=clock.now)
    skew = remote.ahead_of(exact)
    assert skew is not None
    assert skew.seconds == pytest.approx(3600)
    assert skew.error == pytest.approx(3600 * DRIFT)


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400), timedelta(seconds=5)])
def test_a_clock_that_was_set_is_believed_at_once(jump: timedelta) -> None:
    clock = Clock()
    remote = RemoteClock(clock)
    remote.observe(START, resolution=1, sent=0)
    remote.observe(START + jump, resolution=1, sent=0)
    assert remote.now() == START + jump + timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("skew", "at_least"), [(Skew(30, 0.5), 29.5), (Skew(-30, 0.5), 29.5), (Skew(0.3, 0.5), 0), (Skew(0, 0), 0)]
)
def test_what_is_sure_of_a_skew(skew: Skew, at_least: float) -> None:
    assert skew.at_least == at_least
