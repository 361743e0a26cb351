"""The built-in handler `enqueue`: adds one task per creator of the region to the queue, for workers to fetch.

Tasks and the tick's final row commit together, so a retried tick never enqueues twice. A creator has at most one
waiting task, so a queue that is slower than the schedule does not grow. The queue is procrastinate's, but this module
does not import procrastinate: the module inserts into procrastinate's table, and the table's triggers do the rest.
procrastinate's own SQL function cannot be used, because the function refuses all tasks of a call if one of the tasks is
already waiting. Users read docs/queue.md.

A task's priority is the negative of its turn, in seconds: the time of the tick, and a second more for each task that
the tick has for the same host before. So hosts and regions take turns, whoever enqueues much; and the time goes on, so
every task has its turn.
"""

from __future__ import annotations

import json
import os

from region_tick.contract import Variable
from region_tick.handlers import Outcome, Tick

QUEUE = "region_tick"
FETCH = "region_tick.fetch"
"""The name of the task. The task's arguments are `creator_id`, `tick_at` (ISO 8601), `region_code`, `region` (what else
a function on_items sees of the region, as JSON) and `host`: workers fetch no task whose host has no place. For a
platform with an address of its own, a worker corrects the host.
"""
TURNS_SINCE = 1_704_067_200
"""The time from which turns are counted (2024), in Unix time: a turn then fits into the priority's four bytes."""

LIMIT = 10_000
"""The largest number of tasks that one tick adds, because a statement may take 10 s. The next tick adds the rest."""

ENQUEUE = r"""
WITH creators AS (
    SELECT creator.id, greatest(upstream.last_polled_at, upstream.not_before) AS asked,
        coalesce(creator.not_before > clock_timestamp(), false)
            OR coalesce(upstream.not_before > clock_timestamp()
                    OR upstream.fresh_until > %(tick_at)s::timestamptz, false)
                AND upstream.last_item <= creator.delivered_until
                AND NOT coalesce(upstream.last_polled_at > coalesce(creator.last_polled_at,
                    %(tick_at)s::timestamptz - interval '1 hour'), false) AS waiting,
        EXISTS (SELECT FROM region_tick.procrastinate_jobs AS job
                WHERE job.queueing_lock = 'creator ' || creator.id AND job.status = 'todo') AS queued,
        CASE creator.platform WHEN 'http'
            THEN regexp_replace(
                lower(substring(creator.url FROM '^[^:/]+://(?:[^/?#]*@)?([^/?#@]*)')), '\.?(:(80|443))?$', '')
            ELSE creator.platform END AS host
    FROM region_tick.creator LEFT JOIN region_tick.upstream ON upstream.id = creator.upstream_id
    WHERE creator.source = %(source)s::text AND creator.region_id = %(region_id)s::text
      AND (creator.last_polled_at IS NULL OR creator.last_polled_at < %(tick_at)s::timestamptz)
), chosen AS (
    SELECT id, host, row_number() OVER (PARTITION BY host ORDER BY asked NULLS FIRST, id) AS number
    FROM creators WHERE NOT waiting AND NOT queued
    ORDER BY asked NULLS FIRST, id
    LIMIT %(limit)s::bigint
), deferred AS (
    INSERT INTO region_tick.procrastinate_jobs (queue_name, task_name, queueing_lock, priority, args)
    SELECT %(queue)s::text, %(task)s::text, 'creator ' || id,
        -(extract(epoch FROM clock_timestamp()) - 1704067200 + number)::integer,
        jsonb_build_object('creator_id', id, 'tick_at', %(tick_at)s::timestamptz, 'region_code', %(region_code)s::text,
            'host', host, 'region', %(region)s::text)
    FROM chosen
    ORDER BY id
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM deferred), (SELECT count(*) FROM chosen),
    count(*) FILTER (WHERE NOT waiting), count(*) FILTER (WHERE NOT waiting AND queued), count(*) FILTER (WHERE waiting)
FROM creators
"""
"""Chooses the creators whose upstreams were polled longest ago. A task for an upstream that waits, or that others have
asked, delivers what was found. The INSERT goes by id, so that two simultaneous ticks of a region do not deadlock.
1704067200 is TURNS_SINCE. The conditions for a due creator are the same as in region_tick.creators, and are repeated
here because that module imports an HTTP client.
"""


def enqueue(tick: Tick) -> None:
    """Add a task for each creator without an answer since `tick.tick_at`, and finish the tick.

    Raises StoppedError, LeaseLostError and psycopg.Error.
    """
    parameters = {
        "queue": QUEUE,
        "task": FETCH,
        "source": os.environ[Variable.SOURCE],
        "region_id": tick.region.id,
        "region_code": tick.region.code,
        "region": write_region(tick),
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


def write_region(tick: Tick) -> str:
    """Return the region as JSON in ASCII, which a database with any encoding can hold as text."""
    bbox = tick.region.bbox
    return json.dumps(
        {
            "source": tick.source,
            "id": tick.region.id,
            "name": tick.region.name,
            "bbox": bbox and [str(side) for side in (bbox.min_lon, bbox.min_lat, bbox.max_lon, bbox.max_lat)],
            "cron": tick.cron,
            "params": dict(tick.params),
        }
    )
