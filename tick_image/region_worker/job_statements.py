"""The worker's own SQL statements on procrastinate's tables. A test prepares every statement on a migrated database.

procrastinate's own function chooses the task with the highest priority. These statements also look at the task's host.
Every name is written with its schema.
"""

HELD = """
held AS MATERIALIZED (
    SELECT name AS host FROM region_tick.host WHERE not_before > clock_timestamp()
    UNION ALL
    SELECT place.host FROM region_tick.host_place AS place LEFT JOIN region_tick.host ON host.name = place.host
    WHERE place.until > clock_timestamp()
    GROUP BY place.host, host.failures
    HAVING count(*) >= CASE WHEN host.failures > 0 THEN 1 ELSE %(at_once)s::integer END
)"""
"""The hosts that must not be asked now: as region_tick.shared_places takes places."""

FETCH_JOB = f"""
WITH {HELD}, chosen AS (
    SELECT id FROM region_tick.procrastinate_jobs AS job
    WHERE status = 'todo' AND queue_name = ANY(%(queues)s::text[])
      AND coalesce(scheduled_at <= clock_timestamp(), true)
      AND coalesce(args->>'host', '') NOT IN (SELECT host FROM held)
    ORDER BY priority DESC, id
    LIMIT 1
    FOR UPDATE OF job SKIP LOCKED
)
UPDATE region_tick.procrastinate_jobs AS job SET status = 'doing', worker_id = %(worker_id)s::bigint
FROM chosen WHERE job.id = chosen.id
RETURNING job.id, status, task_name, priority, lock, queueing_lock, args, scheduled_at, queue_name, attempts, worker_id
"""  # noqa: S608 - a constant
"""Takes the task whose turn it is among those whose host may be asked."""

RETRY = """
UPDATE region_tick.procrastinate_jobs SET
    status = 'todo', scheduled_at = %(retry_at)s::timestamptz, priority = coalesce(%(priority)s::integer, priority),
    attempts = attempts + (%(priority)s::integer IS NOT NULL)::integer, args = args || %(notes)s::jsonb
WHERE id = %(job_id)s::bigint AND status = 'doing' AND NOT abort_requested
RETURNING id
"""
"""Puts a task back. A task that gets no new priority keeps its turn, and was not tried."""

NOTE = "UPDATE region_tick.procrastinate_jobs SET args = args || %(notes)s::jsonb WHERE id = %(job_id)s::bigint"

DEPTH = f"""
WITH {HELD}, waiting AS (
    SELECT coalesce(args->>'host', '') IN (SELECT host FROM held) AS is_held,
        coalesce(scheduled_at <= clock_timestamp(), true) AS is_due,
        greatest(scheduled_at, (args->>'tick_at')::timestamptz) AS due_since
    FROM region_tick.procrastinate_jobs
    WHERE status = 'todo' AND queue_name = %(queue)s::text AND task_name = %(task)s::text
)
SELECT
    count(*) FILTER (WHERE is_due AND NOT is_held) AS due,
    count(*) FILTER (WHERE is_held) AS held,
    count(*) FILTER (WHERE NOT is_due AND NOT is_held) AS later,
    coalesce(extract(epoch FROM clock_timestamp() - min(due_since) FILTER (WHERE is_due AND NOT is_held)), 0)::float8
        AS oldest_seconds,
    (SELECT count(*) FROM region_tick.procrastinate_jobs
     WHERE status = 'doing' AND queue_name = %(queue)s::text AND task_name = %(task)s::text) AS running,
    (SELECT count(*) FROM region_tick.procrastinate_jobs
     WHERE status = 'failed' AND queue_name = %(queue)s::text AND task_name = %(task)s::text) AS failed
FROM waiting
"""  # noqa: S608 - a constant
"""Counts the tasks. A task is due since its tick's minute, or since the time of its next attempt."""

PAUSE = """
SELECT coalesce(extract(epoch FROM not_before - clock_timestamp()), 0)::float8 FROM region_tick.upstream
WHERE id = %(id)s::bigint
"""
"""For how long an upstream is left alone."""
