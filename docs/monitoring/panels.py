"""The panels of the Grafana dashboard, as values: three rows, each for one question.

`$namespace` is the dashboard's variable, and `$__rate_interval` is Grafana's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from docs.monitoring.expressions import BEHIND, BUDGET, TICKS

_IN = 'namespace=~"$namespace"'


class Kind(StrEnum):
    """How a panel shows its values; the names are Grafana's."""

    STAT = "stat"
    LINES = "timeseries"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and the name of its series, with labels in braces."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel. `unit` is Grafana's name of a unit. From `warn_at` on a value is shown as a trouble; None: never."""

    title: str
    about: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    unit: str = "short"
    width: int = 8
    warn_at: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A question (the title), and the panels that answer it."""

    title: str
    panels: tuple[Panel, ...]


def _greatest(metric: str, labels: str = "", *matchers: str) -> str:
    chosen = ", ".join((_IN, *matchers))
    return f"max by ({labels}) ({metric}{{{chosen}}})" if labels else f"max({metric}{{{chosen}}})"


def _quantile(share: float, histogram: str, labels: str = "") -> str:
    by = f"le, {labels}" if labels else "le"
    return f"histogram_quantile({share}, sum by ({by}) (rate({histogram}_bucket{{{_IN}}}[$__rate_interval])))"


def _each(counter: str, by: str, *matchers: str) -> str:
    return f"sum by ({by}) (rate({counter}{{{', '.join((_IN, *matchers))}}}[$__rate_interval]))"


def _ticks(by: str, state: str) -> str:
    return f'sum by ({by}) (increase({TICKS}{{{_IN}, state=~"{state}", reason!="suspended"}}[$__rate_interval]))'


TICKING = Row(
    "Is everything ticking?",
    (
        Panel(
            title="Regions that tick",
            about="Active regions that are neither suspended nor paused.",
            queries=(Query(_greatest("region_operator_ticking_regions")),),
            kind=Kind.STAT,
            width=4,
        ),
        Panel(
            title="Behind the objective",
            about="Regions to which more ticks were due since their last success than spec.objective allows.",
            queries=(Query(_greatest("region_operator_regions_behind_objective")),),
            kind=Kind.STAT,
            width=4,
            warn_at=1,
        ),
        Panel(
            title="Budget used in 3 days",
            about="The share of the objective's budget that the last three days used up. Above 100 % it is missed.",
            queries=(Query(f"max(avg_over_time({BEHIND}{{{_IN}}}[3d]) / ({BUDGET}{{{_IN}}} > 0))"),),
            kind=Kind.STAT,
            unit="percentunit",
            width=4,
            warn_at=1,
        ),
        Panel(
            title="Succeeded, last hour",
            about="Of the ticks that ended, those of suspended regions left out.",
            queries=(
                Query(
                    f'sum(increase({TICKS}{{{_IN}, state="succeeded"}}[1h]))'
                    f' / (sum(increase({TICKS}{{{_IN}, reason!="suspended"}}[1h])) > 0)'
                ),
            ),
            kind=Kind.STAT,
            unit="percentunit",
            width=4,
        ),
        Panel(
            title="The ledger is behind",
            about="Up to how long ago every tick has its row. A tick that still runs holds this up, not the ledger.",
            queries=(Query(f"time() - ({_greatest('region_operator_ledger_accounted_until_timestamp_seconds')} > 0)"),),
            kind=Kind.STAT,
            unit="s",
            width=4,
        ),
        Panel(
            title="Leader",
            about="One operator leads.",
            queries=(Query(_greatest("region_operator_leader")),),
            kind=Kind.STAT,
            width=4,
        ),
        Panel(
            title="Ticks by state",
            about="Ticks that ended, within the interval of a point.",
            queries=(Query(_ticks("state", ".*"), "{{state}}"),),
        ),
        Panel(
            title="Late regions",
            about="Regions to which more than so many ticks were due since their last success.",
            queries=(Query(_greatest("region_operator_late_regions", "intervals"), "more than {{intervals}}"),),
        ),
        Panel(
            title="Start delay and duration",
            about="From the minute to the claim, and from the claim to the end, at the 95th percentile.",
            queries=(
                Query(_quantile(0.95, "region_operator_tick_start_delay_seconds"), "start delay"),
                Query(_quantile(0.95, "region_operator_tick_duration_seconds", "state"), "{{state}}"),
            ),
            unit="s",
        ),
    ),
)
WRONG = Row(
    "What is wrong?",
    (
        Panel(
            title="Conditions",
            about="What the RegionScheduler says of itself. kubectl describe rsched has the messages.",
            queries=(Query(_greatest("region_operator_condition", "namespace, type, status, reason")),),
            kind=Kind.TABLE,
        ),
        Panel(
            title="The latest regions",
            about="The 20 latest regions, with the ticks that were due since their last success.",
            queries=(Query(f"sort_desc({_greatest('region_operator_region_intervals_late', 'namespace, region')})"),),
            kind=Kind.TABLE,
        ),
        Panel(
            title="Missed and failed, by reason",
            about="docs/reference/ledger.md says what each reason means.",
            queries=(Query(_ticks("state, reason", "missed|failed"), "{{state}}: {{reason}}"),),
        ),
        Panel(
            title="Held, quarantined, paused",
            about="What waits for a person.",
            queries=(
                Query(_greatest("region_operator_held_changes", "kind"), "held: {{kind}}"),
                Query(_greatest("region_operator_regions", "state", 'state=~"quarantined|paused"'), "{{state}}"),
            ),
            warn_at=1,
        ),
        Panel(
            title="Reconciles by result",
            about="How often in a second the operator compared the table with the cluster, and how that ended.",
            queries=(Query(_each("region_operator_reconciles_total", "reason"), "{{reason}}"),),
            unit="reqps",
        ),
        Panel(
            title="Errors of API server and database",
            about="Requests that were refused or had no answer, and transactions that failed.",
            queries=(
                Query(
                    _each("region_operator_api_requests_total", "method, code", 'code!~"2.."'), "{{method}} {{code}}"
                ),
                Query(_each("region_operator_database_errors_total", "kind"), "database: {{kind}}"),
            ),
            unit="reqps",
        ),
    ),
)
FITS = Row(
    "Does it still fit?",
    (
        Panel(
            title="Forecast of 24 hours",
            about="Ticks of the next 24 hours, by how they will start.",
            queries=(Query(_greatest("region_operator_forecast_ticks", "outcome"), "{{outcome}}"),),
        ),
        Panel(
            title="Slots",
            about="spec.concurrency, and the least with which no forecast tick is lost.",
            queries=(
                Query(_greatest("region_operator_concurrency"), "there are"),
                Query(_greatest("region_operator_forecast_sufficient_slots"), "would be enough"),
                Query(_greatest("region_operator_waiting_ticks"), "ticks that wait"),
            ),
        ),
        Panel(
            title="From an edit to its CronJob",
            about="From the notification of an edit to the write, at the 95th percentile.",
            queries=(Query(_quantile(0.95, "region_operator_edit_latency_seconds"), "95 %"),),
            unit="s",
        ),
        Panel(
            title="The queue",
            about="Tasks of the handler enqueue, and how long the oldest due one has waited. Empty without workers.",
            queries=(
                Query(_greatest("region_worker_queue_tasks", "state"), "{{state}}"),
                Query(_greatest("region_worker_oldest_due_task_seconds"), "oldest due, seconds"),
            ),
        ),
        Panel(
            title="The operator's event loop",
            about="How late it turned, at the 99th percentile, by pod.",
            queries=(Query(_quantile(0.99, "region_operator_event_loop_lag_seconds", "instance"), "{{instance}}"),),
            unit="s",
        ),
        Panel(
            title="The operator's memory",
            about="By pod.",
            queries=(
                Query(
                    f"process_resident_memory_bytes{{{_IN}}} and on (instance) region_operator_build_info{{{_IN}}}",
                    "{{instance}}",
                ),
            ),
            unit="bytes",
        ),
        Panel(
            title="Connections to the database",
            about="Of the operator's pool.",
            queries=(Query(_greatest("region_operator_database_connections", "state"), "{{state}}"),),
        ),
    ),
)
ROWS = (TICKING, WRONG, FITS)
