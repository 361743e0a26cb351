"""The recording rules, and how alerts and panels ask for metrics.

Only the leader serves the metrics of ticks, regions and conditions, and a new leader goes on where the former one
stopped. So what is asked for is the greatest value of a namespace, never the sum: the answer stays the same while one
leader follows another.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule."""

    name: str
    expr: str


TICKS = "namespace_state_reason:region_operator_ticks:max"
BEHIND = "namespace:region_operator_behind_objective:ratio"
BUDGET = "namespace:region_operator_objective_budget:max"

RECORDS = (
    Record(TICKS, "max by (namespace, state, reason) (region_operator_ticks_total)"),
    Record(
        BEHIND,
        "max by (namespace) (region_operator_regions_behind_objective)"
        " / (max by (namespace) (region_operator_ticking_regions) > 0)",
    ),
    Record(BUDGET, "1 - max by (namespace) (last_over_time(region_operator_objective_ratio[10m]))"),
)
"""An increase of TICKS counts each tick once, whichever leader serves it. BEHIND is the share of regions that are later
than spec.objective allows. BUDGET is the share that may be.
"""

FEWEST_TICKS = 3
"""How many ticks must end with one reason within half an hour, so that an alert tells of them."""


def greatest(metric: str, *labels: str) -> str:
    """Return the greatest value of a namespace, by further labels."""
    return f"max by ({', '.join(('namespace', *labels))}) ({metric})"


def condition(*matchers: str) -> str:
    """Return a condition of the RegionScheduler by its type, status or reason: 1 while it stands."""
    return greatest(f"region_operator_condition{{{', '.join(matchers)}}}", "type", "reason") + " > 0"


def gone(metric: str) -> str:
    """Return the namespaces that served a metric within the last week and serve it no more.

    A shorter time would end the alert while the trouble lasts, as at the end of a night.
    """
    return f"group by (namespace) (last_over_time({metric}[7d]))\nunless group by (namespace) ({metric})"


def burns(factor: float, long: str, short: str) -> str:
    """Return whether the objective's budget is used up `factor` times too fast, in a long window and still in a short
    one (Google's SRE workbook, "Alerting on SLOs", multiwindow, multi-burn-rate).

    A large budget times `factor` may be more than all regions. Half of the regions beyond the budget are always enough.
    """
    return " and ".join(
        f"({share} > {factor:g} * {BUDGET} or {share} > 0.5 + 0.5 * {BUDGET})"
        for share in (f"avg_over_time({BEHIND}[{window}])" for window in (long, short))
    )


def share_of_ticks(state: str) -> str:
    """Return which percentage of the ticks of half an hour ended in a state, by reason, beyond the budget.

    One or two ticks are no share: where few ticks are due, each of them is beyond every budget.
    """
    ended = f'sum by (namespace, reason) (increase({TICKS}{{state="{state}"}}[30m]))'
    every = f'sum by (namespace) (increase({TICKS}{{reason!="suspended"}}[30m]))'
    return (
        f"100 * {ended}\n/ on (namespace) group_left () {every}\n> on (namespace) group_left () (100 * {BUDGET})\n"
        f"and {ended} >= {FEWEST_TICKS}"
    )


def failed_lately(metric: str, bad: str, good: str, window: str) -> str:
    """Return what went wrong within a window while nothing went well. `bad` and `good` are matchers of a counter."""
    return (
        f"sum by (namespace) (increase({metric}{{{bad}}}[{window}])) > 0\n"
        f"unless sum by (namespace) (increase({metric}{{{good}}}[{window}])) > 0"
    )
