"""The built-in handler `enqueue`: a task for each of the region's creators, for workers to fetch.

The tasks become visible together with the end of the tick, so a tick that is tried again never enqueues twice. A
creator has one task at most that waits: a queue that is slower than the schedule does not grow. The queue is
procrastinate's, but not imported here: its table is written to, and its triggers do the rest. Its function for that
refuses all tasks of a call where one is there already. docs/queue.md is for users.
"""

from __future__ import annotations

import os

from region_tick.contract import Variable
from region_tick.handlers import Outcome, Tick

QUEUE = "region_tick"
FETCH = "region_tick.fetch"
"""The name of the task; its arguments are `creator_id`, `tick_at` (ISO 8601) and `region_code`."""

LIMIT = 10_000
"""How many tasks a tick defers: a statement may take 10 s. The others' turn is the next tick's."""

ENQUEUE = """
WITH creators AS (
    SELECT id, greatest(last_polled_at, not_before) AS asked,
        coalesce(not_before > clock_timestamp(), false) AS waiting,
        EXISTS (SELECT FROM region_tick.procrastinate_jobs AS job
                WHERE job.queueing_lock = 'creator ' || creator.id AND job.status = 'todo') AS queued
    FROM region_tick.creator
    WHERE source = %(source)s::text AND region_id = %(region_id)s::text
      AND (last_polled_at IS NULL OR last_polled_at < %(tick_at)s::timestamptz)
), chosen AS (
    SELECT id FROM creators WHERE NOT waiting AND NOT queued
    ORDER BY asked NULLS FIRST, id
    LIMIT %(limit)s::bigint
), deferred AS (
    INSERT INTO region_tick.procrastinate_jobs (queue_name, task_name, queueing_lock, args)
    SELECT %(queue)s::text, %(task)s::text, 'creator ' || id,
        jsonb_build_object('creator_id', id, 'tick_at', %(tick_at)s::timestamptz, 'region_code', %(region_code)s::text)
    FROM chosen
    ORDER BY id
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM deferred), (SELECT count(*) FROM chosen),
    count(*) FILTER (WHERE NOT waiting), count(*) FILTER (WHERE NOT waiting AND queued), count(*) FILTER (WHERE waiting)
FROM creators
"""
"""Chosen are those who were asked longest ago; the order of ids is so that two ticks of a region at a time do not wait
for each other in a circle. All have one priority: of a queue that is never empty, a lower one is never fetched. Who is
due, and since when, is what `creators` says of it too, whose HTTP would be imported with it.
"""


def enqueue(tick: Tick) -> None:
    """Defer a task for each creator of whom there was no answer since `tick.tick_at`, and finish the tick.

    Raises StoppedError, LeaseLostError and psycopg.Error.
    """
    parameters = {
        "queue": QUEUE,
        "task": FETCH,
        "source": os.environ[Variable.SOURCE],
        "region_id": tick.region.id,
        "region_code": tick.region.code,
        "tick_at": tick.tick_at,
        "limit": LIMIT,
    }
    tick.check()
    with tick.transaction() as connection:
        row = connection.execute(ENQUEUE, parameters).fetchone()
        assert row is not None  # noqa: S101 - for the type checker: an aggregate has one row
        enqueued, chosen, due, queued, waiting = row
        counts = {
            "enqueued": enqueued,
            "already_queued": queued + chosen - enqueued,
            "left": due - queued - chosen,
            "waiting": waiting,
        }
        tick.finish(Outcome(counts))
