"""Defines the operator's metrics. Names follow Prometheus' conventions.

What CronJobs and Jobs do is left to kube-state-metrics.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from region_tick.contract import VERSION

BUILD_INFO = Gauge("region_operator_build_info", "1, with the release of this process as a label.", ["version"])
BUILD_INFO.labels(VERSION).set(1)
API_REQUESTS = Counter(
    "region_operator_api_requests_total",
    "Requests to the API server by method and status code, retries and watches included; those of kopf are not.",
    ["method", "code"],
)
LEADER = Gauge("region_operator_leader", "1 while this process leads, 0 while it is a standby.")
RECONCILES = Counter("region_operator_reconciles_total", "Reconciles by the reason that the status gave.", ["reason"])
RECONCILE_SECONDS = Histogram(
    "region_operator_reconcile_duration_seconds", "How long a reconcile took, whatever its end."
)
LAST_SUCCESS = Gauge(
    "region_operator_last_success_timestamp_seconds", "When a reconcile last came to its end, in Unix time."
)
CHANGES = Counter("region_operator_cronjob_changes_total", "CronJobs written or deleted, by reason.", ["reason"])
PENDING_CHANGES = Gauge("region_operator_pending_changes", "Changes of the reconcile under way that are not made yet.")
HELD_DELETIONS = Gauge("region_operator_held_deletions", "Deletions that spec.deletionGuard holds.")
HELD_CHANGES = Gauge(
    "region_operator_held_changes", "Changes that wait for an approval: deletions, quarantines and others.", ["kind"]
)
REGIONS = Gauge("region_operator_regions", "Active regions by state.", ["state"])
EVENT_LOOP_LAG = Histogram(
    "region_operator_event_loop_lag_seconds",
    "How much later than wanted the event loop turned, because something held the loop or took the CPU.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
EDIT_LATENCY = Histogram(
    "region_operator_edit_latency_seconds",
    "How long an edit of the table took to its CronJob: from the notification, or else the reading, to the write.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
)
DATABASE_ERRORS = Counter(
    "region_operator_database_errors_total",
    "Transactions that failed: away, no answer, no connection free, too slow, locked, refused.",
    ["kind"],
)
DATABASE_CONNECTIONS = Gauge(
    "region_operator_database_connections", "Connections of the operator's pool by state: in_use, idle.", ["state"]
)
OLDEST_PAUSE = Gauge(
    "region_operator_oldest_pause_seconds",
    "For how long the region has been paused that has been paused the longest; 0 without one.",
)
HEARTBEATS = Counter(
    "region_operator_heartbeats_total", "Requests to HEARTBEAT_URL by result: sent, failed.", ["result"]
)
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
LEDGER_LOOKED_UNTIL = Gauge(
    "region_operator_ledger_looked_until_timestamp_seconds",
    "Up to when ticks were looked at, those included that cannot be judged yet, Unix time.",
)
CONCURRENCY = Gauge("region_operator_concurrency", "spec.concurrency: how many ticks may run at once.")
FORECAST_TICKS = Gauge(
    "region_operator_forecast_ticks", "Ticks of the next 24 hours, by how they will start.", ["outcome"]
)
FORECAST_SLOTS = Gauge(
    "region_operator_forecast_sufficient_slots", "The least spec.concurrency with which no forecast tick is lost."
)
FORECAST_RATE = Gauge(
    "region_operator_forecast_sufficient_jobs_per_second",
    "The least number of Jobs that the CronJob controller must start in a second, so that no forecast tick is lost.",
)
CLOCK_SKEW = Gauge(
    "region_operator_clock_skew_seconds",
    "How far the database's clock is ahead of the API server's, by an estimate.",
)
OVERDUE_JOBS = Counter("region_operator_overdue_jobs_total", "Jobs deleted because they outlived their deadline.")


def show_nothing() -> None:
    """Set the metrics of a RegionScheduler's regions to 0, because there is no RegionScheduler any more."""
    for gauge in (
        REGIONS,
        HELD_DELETIONS,
        HELD_CHANGES,
        PENDING_CHANGES,
        FORECAST_TICKS,
        FORECAST_SLOTS,
        FORECAST_RATE,
    ):
        for sample in next(iter(gauge.collect())).samples:
            (gauge.labels(**sample.labels) if sample.labels else gauge).set(0)
