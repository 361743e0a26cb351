"""What polling one creator tells about its host."""

from __future__ import annotations

import pytest

from region_tick.adapters import Creator, Found, NotModified
from region_tick.asking import Polled, judge_host
from region_tick.fetch import FetchError, RefusedError, TransientError
from region_tick.host_places import UNASKED, Outcome, Verdict
from region_tick.retry import ThrottledError

CREATOR = Creator(id=1, platform="http", handle=None, url="https://upstream.test/a")
WHO = "http https://upstream.test/a"


@pytest.mark.parametrize(
    ("result", "statuses", "expected"),
    [
        (Found(items=[]), [200], Outcome(verdict=Verdict.ANSWERED)),
        (NotModified(), [304], Outcome(verdict=Verdict.ANSWERED)),
        (RefusedError("answers 404"), [404], Outcome(verdict=Verdict.ANSWERED)),
        (RefusedError("that is no feed"), [200], Outcome(verdict=Verdict.ANSWERED)),
        (RefusedError("its address is private"), [None], UNASKED),
        (RefusedError("no url"), [], UNASKED),
        (TransientError("it hangs"), [None], Outcome(verdict=Verdict.FAILED, error="it hangs")),
        (TransientError("it hangs"), [503, None], Outcome(verdict=Verdict.FAILED, error="it hangs")),
        (TransientError("503"), [None, 503], Outcome(verdict=Verdict.FAILED, error="503", creator=WHO)),
        (
            ThrottledError("503", 3600, whole_host=False),
            [503],
            Outcome(verdict=Verdict.FAILED, error="503", creator=WHO),
        ),
        (ThrottledError("429", 3600), [429], Outcome(verdict=Verdict.THROTTLED, error="429", seconds=3600)),
        (ThrottledError("429", None), [429], Outcome(verdict=Verdict.THROTTLED, error="429", seconds=60)),
        (ThrottledError("404", 60, whole_host=False), [404], Outcome(verdict=Verdict.ANSWERED)),
        (ThrottledError("quota", 3600), [403], Outcome(verdict=Verdict.THROTTLED, error="quota", seconds=3600)),
    ],
)
def test_what_is_the_hosts_and_what_is_the_creators(
    result: Found | NotModified | FetchError, statuses: list[int | None], expected: Outcome
) -> None:
    assert judge_host(Polled(creator=CREATOR, result=result, statuses=statuses)) == expected
