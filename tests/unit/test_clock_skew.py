"""plan/clock_skew.py: which skew is reported, and what is said of it."""

from __future__ import annotations

import pytest

from region_operator.plan.clock_skew import explain_skew
from region_operator.runtime.remote_clock import Skew


@pytest.mark.parametrize("skew", [None, Skew(0, 0), Skew(10, 0), Skew(-10, 0), Skew(10.5, 0.5), Skew(-20, 10)])
def test_a_small_or_uncertain_skew_is_nothing_to_tell(skew: Skew | None) -> None:
    assert explain_skew(skew) == ""


@pytest.mark.parametrize(
    ("seconds", "begin", "effect"),
    [
        (31.4, "the database's clock is 31 s ahead of the API server's (± 1 s): ", "startDeadline + 15 s - 31 s after"),
        (-31.4, "the database's clock is 31 s behind the API server's (± 1 s): ", "may start 31 s later"),
        (300, "the database's clock is 5 min ahead", "skipped as late"),
        (-7200, "the database's clock is 2 h behind", "recorded as missed 2 h later"),
        (400 * 86_400, "the database's clock is 400 days ahead", "a manual run"),
        (-400 * 86_400, "the database's clock is 400 days behind", "a manual run"),
    ],
)
def test_it_says_how_much_in_which_direction_and_what_that_does(seconds: float, begin: str, effect: str) -> None:
    text = explain_skew(Skew(seconds, 0.5))
    assert text.startswith(begin)
    assert effect in text
    assert text.endswith("e.g. by NTP")


def test_a_better_estimate_of_the_same_skew_changes_no_word() -> None:
    assert explain_skew(Skew(31.2, 0.9)) == explain_skew(Skew(31.4, 0.01))
