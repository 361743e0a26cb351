"""The SQL statements of a tick. A test prepares every statement on a migrated database.

No state outlives a transaction (no prepared statement, no session state), so the statements also work through PgBouncer
in transaction mode. Each parameter is cast to its type, because Postgres cannot always infer the type from a table when
a statement is prepared.

RENEW, GUARD and FINISH compare the state by IS NOT DISTINCT FROM, to find their row by the primary key. With `=` the
planner prefers the index of open runs, because that index is small. But all ticks of a minute have the same key there,
so each tick would read the entries of all others.
"""

BOUNDS = """
SELECT clock_timestamp(), pg_catalog.transaction_timestamp(),
    pg_catalog.set_config('lock_timeout', '5s', true), pg_catalog.set_config('statement_timeout', '10s', true),
    pg_catalog.set_config('idle_in_transaction_session_timeout', %(idle)s::text, true),
    pg_catalog.set_config('datestyle', 'ISO', true), pg_catalog.set_config('intervalstyle', 'postgres', true)
"""

MANUAL_LOCK = """
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(%(manual_uid)s::text, 0))
"""

MANUAL_TICK_AT = """
SELECT coalesce(
    (SELECT min(tick_at) FROM region_tick.job_run
     WHERE source = %(source)s::text AND region_id = %(region_id)s::text AND manual_uid = %(manual_uid)s::text
       AND tick_at > now() - interval '30 days'),
    date_trunc('minute', clock_timestamp()))
"""
"""All attempts of a Job take less than a month. The bound spares older partitions."""

ROW_OF_JOB = """
SELECT FROM region_tick.job_run
WHERE source = %(source)s::text AND region_id = %(region_id)s::text
  AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text AND job_name = %(job_name)s::text
"""

FIRST_CLAIM = """
INSERT INTO region_tick.job_run (
    source, region_id, tick_at, manual_uid, region_code, cron, handler, job_name, pod, node,
    attempt, state, lease_until, started_at, window_start, window_end)
SELECT
    %(source)s::text, %(region_id)s::text, %(tick_at)s::timestamptz, %(manual_uid)s::text,
    %(region_code)s::text, %(cron)s::text, %(handler)s::text, %(job_name)s::text, %(pod)s::text, %(node)s::text,
    1, 'running', now + make_interval(secs => %(lease_seconds)s::float8), now,
    window_start, least(%(tick_at)s::timestamptz, window_start + make_interval(secs => %(max_window)s::float8))
FROM (SELECT clock_timestamp()) AS clock (now), (
    SELECT min(least(window_end, %(tick_at)s::timestamptz)) AS window_start FROM region_tick.region_cursor
    WHERE source = %(source)s::text AND region_id = %(region_id)s::text AND handler = %(handler)s::text
) AS fetched
WHERE coalesce(now <= %(tick_at)s::timestamptz + make_interval(secs => %(late_after)s::float8), true)
  AND NOT EXISTS (
    SELECT FROM region_tick.suspension
    WHERE %(manual_uid)s::text = '' AND source = %(source)s::text AND region_id = %(region_id)s::text
      AND suspended_from < %(tick_at)s::timestamptz AND counted_until >= %(tick_at)s::timestamptz)
  AND NOT EXISTS (
    SELECT FROM region_tick.slot_owner
    WHERE source = %(source)s::text
      AND slot = pg_catalog.get_byte(pg_catalog.sha256(pg_catalog.convert_to(%(region_id)s::text, 'UTF8')), 0)
      AND %(installation)s::text NOT IN ('', installation, coalesce(successor, ''))
      AND since < %(tick_at)s::timestamptz)
ON CONFLICT DO NOTHING
RETURNING true AS mine, state, reason, attempt, lease_until, window_start, window_end
"""
"""Does what CLAIM does in the usual case: the tick has no row, is in time, and nobody else owns or counted the tick. In
any other case the statement does nothing. Most of a claim's time is planning, and this statement is planned in less
than half the time of CLAIM.
"""

CLAIM = """
WITH since AS (
    SELECT window_start, least(
        %(tick_at)s::timestamptz, window_start + make_interval(secs => %(max_window)s::float8)) AS window_end
    FROM (
        SELECT min(least(window_end, %(tick_at)s::timestamptz)) AS window_start FROM region_tick.region_cursor
        WHERE source = %(source)s::text AND region_id = %(region_id)s::text AND handler = %(handler)s::text
    ) AS fetched
), known AS (
    SELECT state, reason, attempt, lease_until, window_start, window_end FROM region_tick.job_run
    WHERE source = %(source)s::text AND region_id = %(region_id)s::text
      AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text
), counted AS (
    SELECT FROM region_tick.suspension
    WHERE %(manual_uid)s::text = '' AND source = %(source)s::text AND region_id = %(region_id)s::text
      AND suspended_from < %(tick_at)s::timestamptz AND counted_until >= %(tick_at)s::timestamptz
      AND NOT EXISTS (SELECT FROM known)
    LIMIT 1
), foreign_owner AS (
    SELECT installation, since FROM region_tick.slot_owner
    WHERE source = %(source)s::text
      AND slot = pg_catalog.get_byte(pg_catalog.sha256(pg_catalog.convert_to(%(region_id)s::text, 'UTF8')), 0)
      AND %(installation)s::text NOT IN ('', installation, coalesce(successor, '')) AND since < %(tick_at)s::timestamptz
      AND NOT EXISTS (SELECT FROM known)
), mine AS (
    INSERT INTO region_tick.job_run AS run (
        source, region_id, tick_at, manual_uid, region_code, cron, handler, job_name, pod, node,
        attempt, state, reason, lease_until, started_at, finished_at, window_start, window_end, error_message)
    SELECT
        %(source)s::text, %(region_id)s::text, %(tick_at)s::timestamptz, %(manual_uid)s::text,
        %(region_code)s::text, %(cron)s::text, %(handler)s::text, %(job_name)s::text, %(pod)s::text, %(node)s::text,
        CASE WHEN late THEN 0 ELSE 1 END,
        CASE WHEN late THEN %(late_state)s::text ELSE 'running' END,
        CASE WHEN late THEN %(late_reason)s::text END,
        CASE WHEN NOT late THEN now + make_interval(secs => %(lease_seconds)s::float8) END,
        CASE WHEN NOT late THEN now END,
        CASE WHEN late THEN now END,
        CASE WHEN NOT late THEN window_start END,
        CASE WHEN NOT late THEN window_end END,
        CASE WHEN late THEN %(waited_for)s::text END
    FROM since, (
        SELECT now, coalesce(now > %(tick_at)s::timestamptz + make_interval(secs => %(late_after)s::float8), false)
        FROM (SELECT clock_timestamp()) AS clock (now)
    ) AS judged (now, late)
    WHERE NOT EXISTS (SELECT FROM counted) AND NOT EXISTS (SELECT FROM foreign_owner)
    ON CONFLICT (source, region_id, tick_at, manual_uid) DO UPDATE SET
        attempt = run.attempt + 1, state = 'running', reason = NULL,
        lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8),
        region_code = excluded.region_code, cron = excluded.cron, handler = excluded.handler,
        job_name = excluded.job_name, pod = excluded.pod, node = excluded.node,
        started_at = clock_timestamp(), finished_at = NULL,
        exit_code = NULL, error_class = NULL, error_message = NULL,
        window_start = (SELECT window_start FROM since), window_end = (SELECT window_end FROM since)
    WHERE run.state IN ('running', 'interrupted') AND run.lease_until <= clock_timestamp()
    RETURNING run.state, run.reason, run.attempt, run.lease_until, run.window_start, run.window_end
)
SELECT true AS mine, state, reason, attempt, lease_until, window_start, window_end FROM mine
UNION ALL
SELECT false, state, reason, attempt, lease_until, window_start, window_end FROM known
WHERE NOT EXISTS (SELECT FROM mine)
UNION ALL
SELECT false, 'skipped', 'suspended', 0, NULL, NULL, NULL FROM counted
UNION ALL
SELECT false, NULL, installation, 0, since, NULL, NULL FROM foreign_owner
"""
"""The window begins where the last one ended, and is not longer than `max_window`; a first window has no beginning and
no limit (least() leaves out NULL).

A tick without a row is final if the ledger has counted the tick in a suspension, and is refused if another
installation owned the region's slot when the tick was due. The line of a refusal has no state; it has the owner and the
time since when. A tick with a row goes on: whoever made the row was in the right.

`known` is the row before the claim. A claim that takes the row over returns the new row from `mine` instead.
"""

RENEW = """
UPDATE region_tick.job_run SET lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8)
WHERE source = %(source)s::text AND region_id = %(region_id)s::text
  AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text
  AND pod = %(pod)s::text AND attempt = %(attempt)s::integer
  AND state IS NOT DISTINCT FROM 'running' AND lease_until > clock_timestamp()
"""

GUARD = """
SELECT FROM region_tick.job_run
WHERE source = %(source)s::text AND region_id = %(region_id)s::text
  AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text
  AND pod = %(pod)s::text AND attempt = %(attempt)s::integer
  AND state IS NOT DISTINCT FROM 'running' AND lease_until > clock_timestamp()
  AND coalesce(pg_catalog.transaction_timestamp() = %(begun)s::timestamptz, true)
FOR SHARE
"""

FINISH = """
WITH finished AS (
    UPDATE region_tick.job_run SET
        state = %(state)s::text, reason = %(reason)s::text, counts = %(counts)s::jsonb,
        exit_code = %(exit_code)s::integer,
        error_class = %(error_class)s::text, error_message = %(error_message)s::text,
        log_lines = coalesce(%(log_lines)s::text, log_lines),
        log_attempt = CASE WHEN %(log_lines)s::text IS NULL THEN log_attempt ELSE attempt END,
        window_end = coalesce(%(fetched_until)s::timestamptz, window_end),
        finished_at = clock_timestamp(), lease_until = clock_timestamp()
    WHERE source = %(source)s::text AND region_id = %(region_id)s::text
      AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text
      AND pod = %(pod)s::text AND attempt = %(attempt)s::integer
      AND state IS NOT DISTINCT FROM 'running' AND lease_until > clock_timestamp()
      AND coalesce(pg_catalog.transaction_timestamp() = %(begun)s::timestamptz, true)
    RETURNING source, region_id, handler, state, manual_uid, window_start, window_end, tick_at
), fetched AS (
    INSERT INTO region_tick.region_cursor AS cursor (source, region_id, handler, window_start, window_end, tick_at)
    SELECT source, region_id, handler, window_start, window_end, tick_at FROM finished
    WHERE state = 'succeeded' AND manual_uid = '' AND NOT %(rerun)s::boolean AND (
        window_start IS NULL
        OR EXISTS (
            SELECT FROM region_tick.region_cursor AS known
            WHERE known.source = finished.source AND known.region_id = finished.region_id
              AND known.handler = finished.handler))
    ON CONFLICT (source, region_id, handler) DO UPDATE SET
        window_start = excluded.window_start, window_end = excluded.window_end, updated_at = clock_timestamp(),
        tick_at = excluded.tick_at
    WHERE cursor.window_end < excluded.window_end
      AND coalesce(excluded.window_start <= cursor.window_end, true)
)
SELECT FROM finished
"""
"""Without lines of its own, an ending leaves those of an earlier attempt, which log_attempt names."""

FINISHED = """
SELECT FROM region_tick.job_run
WHERE source = %(source)s::text AND region_id = %(region_id)s::text
  AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text
  AND pod = %(pod)s::text
  AND attempt = %(attempt)s::integer AND state = %(state)s::text AND reason = %(reason)s::text
  AND finished_at IS NOT NULL
"""
"""The reason tells the attempt's own ending from the ledger's: the ledger closes runs that stayed open, also as failed.
"""
