"""The built-in handler `poll`: what have the region's creators published since they were last asked?

Each creator's result is committed by itself, so that what was found stays found when the tick ends early; the next
attempt and the next tick begin with those who have waited longest. So each creator's row is its own cursor, and the
tick's window is not needed. The tick fails only if nobody at all could be reached: a creator that fails is on record in
its row. docs/polling.md is for users.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import TYPE_CHECKING

from region_tick.adapters import Found, adapters
from region_tick.contract import Variable
from region_tick.creators import read_creators, save
from region_tick.fetch import TransientError
from region_tick.handlers import Outcome, Tick
from region_tick.poll_settings import PollSettings
from region_tick.poller import Polled, Poller
from region_tick.retry import ThrottledError

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN_SECONDS = 5.0
"""What is kept of the tick's time for writing; of a short tick's, a fifth."""


class NobodyReachedError(Exception):
    """No creator could be reached: the tick is tried again."""


def poll(tick: Tick) -> Outcome:
    """Poll the creators of whom there was no answer since `tick.tick_at`; write their new items.

    Raises NobodyReachedError, PollSettingError, StoppedError, LeaseLostError and psycopg.Error.
    """
    settings = PollSettings.read(os.environ)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings hold URLs in full
    found = read_creators(
        tick.connection,
        source=os.environ[Variable.SOURCE],
        region_id=tick.region.id,
        tick_at=tick.tick_at,
    )
    until = tick.deadline - min(MARGIN_SECONDS, tick.remaining() / 5)
    poller = Poller(adapters(settings, until=tick.tick_at), settings, until=until, stopping=tick.stopping, log=tick.log)
    counts: Counter[str] = Counter(dict.fromkeys(("fetched", "not_modified", "items", "failed", "throttled"), 0))
    polled_creators, unreached, example = 0, 0, "no answer came in time"
    for polled in poller.poll(found.due):
        tick.check()
        if polled is None:
            continue
        polled_creators += 1
        with tick.transaction() as connection:
            items = save(connection, polled.creator, polled.result)
        counts.update(_counts(polled, items=items))
        if isinstance(polled.result, TransientError):
            unreached, example = unreached + 1, str(polled.result)
        _report(tick, polled)
    if found.due and unreached == polled_creators:
        raise NobodyReachedError(f"none of {len(found.due)} creators could be reached; {example}")
    counts.update({"waiting": found.waiting, "left": len(found.due) - polled_creators})
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


def _report(tick: Tick, polled: Polled) -> None:
    if polled.result is None or isinstance(polled.result, Found):
        return
    about = {"creator": polled.creator.id, "platform": polled.creator.platform, "error": str(polled.result)}
    tick.log.warning("creator not polled", extra=about)
