"""The rows of a history for `ledger_history`, as statements."""

FILL = """
INSERT INTO region_tick.job_run (
    source, region_id, tick_at, region_code, cron, handler, state, reason, attempt, lease_until, job_name, pod, node,
    started_at, finished_at, window_start, window_end, counts, created_at)
SELECT CAST(:source AS text), region::text, at, 'code-' || region, '*/5 * * * *',
    CASE WHEN missed THEN NULL ELSE 'poll' END,
    CASE WHEN missed THEN 'missed' WHEN failed THEN 'failed' ELSE 'succeeded' END,
    CASE WHEN missed THEN (ARRAY['not created', 'image', 'no node'])[1 + region % 3] WHEN failed THEN 'error' ELSE 'ok'
    END,
    CASE WHEN missed THEN 0 ELSE 1 END, CASE WHEN missed THEN NULL ELSE ended END,
    'code-' || region || '-0123456789ab-29400000', CASE WHEN missed THEN NULL ELSE 'code-' || region || '-pod' END,
    CASE WHEN missed THEN NULL ELSE 'node-' || region % 20 END,
    CASE WHEN missed THEN NULL ELSE at + interval '2 s' END, ended, at - interval '5 min', at,
    CASE WHEN missed THEN NULL ELSE jsonb_build_object('items', region % 7) END, at + interval '2 s'
FROM (
    SELECT region, at, draw BETWEEN 0.01 AND 0.02 AS failed, draw < 0.01 AS missed,
        at + interval '2 s' + CASE WHEN draw > 0.95 THEN 60 + 100 * random() ELSE 1 + 30 * random() END
            * interval '1 s' AS ended
    FROM generate_series(CAST(:since AS timestamptz), CAST(:until AS timestamptz), :every) AS at,
        generate_series(1, CAST(:regions AS integer)) AS region, LATERAL (SELECT random() + 0 * region) AS dice (draw)
) AS drawn
"""
"""Rows of the ticks from `since` to `until`: 5 % of the runs took more than a minute, 1 % of the ticks failed, 1 % were
missed.
"""

CURSORS = """
INSERT INTO region_tick.region_cursor (source, region_id, handler, window_end)
SELECT source, region_id, 'poll', max(tick_at) FROM region_tick.job_run WHERE state = 'succeeded' GROUP BY 1, 2
"""
"""A cursor for each region with a success, as ticks leave it."""
