"""The metrics of the console, on /metrics of its port."""

from __future__ import annotations

from prometheus_client import Histogram

REQUESTS = Histogram(
    "region_console_request_seconds",
    "How long the console took to answer, by the page and the HTTP status.",
    ["page", "status"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
