"""Says how the result of polling one creator counts in job_run.counts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_tick.adapters import Found, NotModified
from region_tick.retry import ThrottledError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.asking import Polled


def counts_of(polled: Polled, *, items: int) -> Mapping[str, int]:
    """Return a result's counts. `items` is how many items the region got."""
    match polled.result:
        case Found():
            verdict = "fetched"
        case NotModified():
            verdict = "not_modified"
        case ThrottledError():
            verdict = "throttled"
        case _:
            verdict = "failed"
    quota = {f"quota_{polled.creator.platform}": polled.cost} if polled.cost else {}
    own = polled.result.counts if isinstance(polled.result, Found) else {}
    return {**own, verdict: 1, "items": items, "requests": polled.requests, **quota}
