"""runtime/backoff.py: how the waits between attempts grow."""

from __future__ import annotations

from itertools import islice

from region_operator.runtime.backoff import LAST_RETRY_SECONDS, Backoffs


def test_the_back_offs_of_others_grow_as_a_reconciles_do_and_have_no_end() -> None:
    backoffs = Backoffs()
    for _ in range(2):
        delays = list(islice(backoffs, 3000))
        assert 0.5 <= delays[0] <= 1
        assert 1 <= delays[1] <= 2
        assert all(LAST_RETRY_SECONDS / 2 <= delay <= LAST_RETRY_SECONDS for delay in delays[5:])
