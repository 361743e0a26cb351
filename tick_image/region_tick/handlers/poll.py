"""The built-in handler `poll`: fetches what the region's creators have published since their last poll.

Each creator's result is committed separately, so that finished results survive if the tick ends early. The next attempt
or tick begins with the creators that have waited longest. Each creator's row is thus its own cursor, and `poll` does
not use the tick's window. The row of a failed creator records the error; the tick fails only if no creator at all could
be reached. Users read docs/polling.md.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from region_tick.adapters import Found, make_adapters
from region_tick.asking import Polled, lease_seconds
from region_tick.contract import Variable
from region_tick.creators import count_escaped, read_creators, save
from region_tick.fetch import TransientError
from region_tick.handlers import Outcome, Tick
from region_tick.poll_settings import PollSettings
from region_tick.poller import Poller
from region_tick.retry import ThrottledError
from region_tick.shared_places import SharedPlaces

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN_SECONDS = 5.0
"""How much of the tick's time is kept for writing results. A short tick keeps a fifth of its time."""


class NobodyReachedError(Exception):
    """No creator could be reached: the tick is tried again."""


def poll(tick: Tick) -> Outcome:
    """Poll the creators without an answer since `tick.tick_at`, and write their new items.

    Raises NobodyReachedError, PollSettingError, StoppedError, LeaseLostError and psycopg.Error.
    """
    settings = PollSettings.read(os.environ)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # urllib3's warnings hold whole URLs
    creators = read_creators(
        tick.connection,
        source=os.environ[Variable.SOURCE],
        region_id=tick.region.id,
        tick_at=tick.tick_at,
    )
    until = tick.deadline - min(MARGIN_SECONDS, tick.remaining() / 5)
    adapters = make_adapters(settings, until=tick.tick_at)
    places = SharedPlaces(
        lambda: nullcontext(tick.connection),
        at_once=settings.concurrency_per_host,
        lease_seconds=lease_seconds(settings),
        log=tick.log,
    )
    poller = Poller(adapters, settings, until=until, stopping=tick.stopping, log=tick.log, places=places)
    counts: Counter[str] = Counter(dict.fromkeys(("fetched", "not_modified", "items", "failed", "throttled"), 0))
    polled_creators, unreached, example = 0, 0, "no answer came in time"
    with closing(poller.poll(creators.due)) as polls:
        for polled in polls:
            tick.check()
            if polled is None:
                continue
            polled_creators += 1
            with tick.transaction() as connection:
                items = save(connection, polled.creator, polled.result)
            counts.update(_counts(polled, items=items))
            if escaped := count_escaped(tick.connection, polled.result):
                counts["escaped"] += escaped
            if isinstance(polled.result, TransientError):
                unreached, example = unreached + 1, str(polled.result)
            _log_failure(tick, polled)
    if creators.due and unreached == polled_creators:
        raise NobodyReachedError(f"none of {len(creators.due)} creators could be reached; {example}")
    counts.update({"waiting": creators.waiting, "left": len(creators.due) - polled_creators})
    return Outcome(counts=counts)


def _counts(polled: Polled, *, items: int) -> Mapping[str, int]:
    match polled.result:
        case Found():
            verdict = "fetched"
        case None:
            verdict = "not_modified"
        case ThrottledError():
            verdict = "throttled"
        case _:
            verdict = "failed"
    quota = {f"quota_{polled.creator.platform}": polled.cost} if polled.cost else {}
    return {verdict: 1, "items": items, "requests": polled.requests, **quota}


def _log_failure(tick: Tick, polled: Polled) -> None:
    if polled.result is None or isinstance(polled.result, Found):
        return
    fields = {"creator": polled.creator.id, "platform": polled.creator.platform, "error": str(polled.result)}
    tick.log.warning("creator not polled", extra=fields)
