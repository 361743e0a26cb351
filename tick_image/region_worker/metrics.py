"""Defines the worker's metrics. Names follow Prometheus' conventions.

The tasks of the queue are counted in the database, so each worker serves the same figures: take the maximum, not the
sum. All other metrics are the process's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

QUEUE_TASKS = Gauge(
    "region_worker_queue_tasks",
    "Tasks in the queue: due, held (the host is left alone or has no place), later, running, failed.",
    ["state"],
)
OLDEST_DUE = Gauge("region_worker_oldest_due_task_seconds", "How long the oldest due task has been due; 0 without one.")
TASKS = Counter("region_worker_tasks_total", "Tasks that this worker took, by what became of them.", ["result"])
TASK_SECONDS = Histogram("region_worker_task_duration_seconds", "How long a task took that asked an upstream.")
REQUESTS = Counter(
    "region_worker_requests_total", "Requests to upstreams by the class of the answer's status, or none.", ["answer"]
)
EVENT_LOOP_LAG = Histogram("region_worker_event_loop_lag_seconds", "How much later than wanted the event loop turned.")


def show_depth(row: Mapping[str, Any]) -> None:
    """Show what job_statements.DEPTH counted."""
    for state in ("due", "held", "later", "running", "failed"):
        QUEUE_TASKS.labels(state).set(row[state])
    OLDEST_DUE.set(max(0.0, row["oldest_seconds"]))


def count_requests(statuses: Sequence[int | None]) -> None:
    """Count requests by what answered them."""
    for status in statuses:
        REQUESTS.labels("none" if status is None else "304" if status == 304 else f"{status // 100}xx").inc()
