"""Defines the operator's metrics. Names follow Prometheus' conventions.

What CronJobs and Jobs do is left to kube-state-metrics.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LEADER = Gauge("region_operator_leader", "1 while this process leads, 0 while it is a standby.")
RECONCILES = Counter("region_operator_reconciles_total", "Reconciles by the reason that the status gave.", ["reason"])
RECONCILE_SECONDS = Histogram(
    "region_operator_reconcile_duration_seconds", "How long a reconcile took, whatever its end."
)
LAST_SUCCESS = Gauge(
    "region_operator_last_success_timestamp_seconds", "When a reconcile last came to its end, in Unix time."
)
CHANGES = Counter("region_operator_cronjob_changes_total", "CronJobs written or deleted, by reason.", ["reason"])
HELD_DELETIONS = Gauge("region_operator_held_deletions", "Deletions that spec.deletionGuard holds.")
REGIONS = Gauge("region_operator_regions", "Active regions by state.", ["state"])
WAITING_TICKS = Gauge(
    "region_operator_waiting_ticks",
    "Jobs that are active without a pod: they wait for a slot, or back off after a failed pod.",
)
NUDGES = Counter("region_operator_nudges_total", "Jobs that were hurried, because a slot was free for them.")
NOTIFIED = Gauge(
    "region_operator_table_notifies",
    "1 while the region table's trigger tells of edits, 0 while the interval finds them.",
)
LEDGER_FAILURES = Counter(
    "region_operator_ledger_failures_total", "Times that the ledger could not be brought up to date; it is tried again."
)
LEDGER_ROWS = Counter(
    "region_operator_ledger_rows_total",
    "Ticks that the operator gave a final row, or counted in a suspension.",
    ["state", "reason"],
)
LEDGER_UNTIL = Gauge(
    "region_operator_ledger_accounted_until_timestamp_seconds", "Up to when every expected tick has its row, Unix time."
)
OVERDUE_JOBS = Counter("region_operator_overdue_jobs_total", "Jobs deleted because they outlived their deadline.")
