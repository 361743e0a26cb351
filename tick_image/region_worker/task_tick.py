"""Makes the Tick that the user's function on_items gets in a worker.

A task of the queue is not a tick: there is nothing to claim, to renew or to finish. The function sees the region and
the time of the tick that enqueued the task, and its transaction has the limits of a tick's. Instead of a guard, the
lock on the creator's row sees to it that one worker delivers.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from threading import Event
from typing import TYPE_CHECKING

from region_tick.effects import MisuseError
from region_tick.handlers import BoundingBox, Outcome, Region, Tick, Window
from region_tick.session import bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

log = logging.getLogger("region_worker.on_items")


def make_task_tick(
    connection: Connection, *, region: str, region_code: str, tick_at: str, attempt: int, seconds: float
) -> Tick:
    """Return the Tick of a task. `region` is what `enqueue` wrote of the region, "" for a task of an earlier release.

    `connection` is in autocommit mode, and `seconds` is the time that the task has. psycopg.Error comes from the tick's
    transactions.
    """
    known = json.loads(region or "{}")
    bbox = known.get("bbox")
    at = datetime.fromisoformat(tick_at).astimezone(UTC)

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with connection.transaction():
            bound(connection)
            yield connection

    return Tick(
        region=Region(
            id=known.get("id", ""),
            code=region_code,
            name=known.get("name", region_code),
            bbox=bbox and BoundingBox(*map(Decimal, bbox)),
        ),
        cron=known.get("cron", ""),
        tick_at=at,
        window=Window(start=None, end=at),
        attempt=attempt,
        deadline=time.monotonic() + seconds,
        stopping=Event(),
        connection=connection,
        transaction=transaction,
        finish=_refuse_to_finish,
        log=log,
        source=known.get("source", ""),
        params=known.get("params", {}),
    )


def _refuse_to_finish(_: Outcome) -> None:
    raise MisuseError("a task of the queue has no tick to finish: take tick.finish() out of on_items")
