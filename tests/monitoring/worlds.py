"""What Prometheus would have scraped of an installation, minute by minute: as promtool reads it.

A world has operators, of which one leads, and a worker. What only a leader serves comes from the one that leads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from region_operator.plan.changes import Guarded
from region_tick.contract import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = Callable[[int], float | None]
"""A metric's value at each minute, None where it is not served."""

REGIONS = 50
LOOKED_UNTIL = "region_operator_ledger_looked_until_timestamp_seconds"
"""0 for a standby, as every gauge without labels."""


def constant(value: float) -> Value:
    return lambda _: value


def growing(each_minute: float) -> Value:
    return lambda minute: each_minute * minute


LEADERS: Mapping[str, Value] = {
    "region_operator_regions{state='active'}": constant(REGIONS),
    "region_operator_regions{state='quarantined'}": constant(0),
    "region_operator_regions{state='paused'}": constant(0),
    "region_operator_ticking_regions": constant(REGIONS),
    "region_operator_regions_behind_objective": constant(0),
    "region_operator_objective_ratio": constant(0.99),
    "region_operator_condition{type='Ready', status='True', reason='InSync'}": constant(1),
    "region_operator_ticks_total{state='succeeded', reason='ok'}": growing(REGIONS),
    "region_operator_ticks_total{state='skipped', reason='suspended'}": growing(REGIONS),
    **{f"region_operator_ticks_total{{state='missed', reason='{reason}'}}": constant(0) for reason in Reason},
    **{f"region_operator_ticks_total{{state='failed', reason='{reason}'}}": constant(0) for reason in Reason},
    **{f"region_operator_held_changes{{kind='{kind}'}}": constant(0) for kind in Guarded},
}
"""What only a leader serves, in good times."""

OPERATORS: Mapping[str, Value] = {
    "region_operator_build_info{version='1'}": constant(1),
    "region_operator_oldest_pause_seconds": constant(0),
    "region_operator_api_requests_total{method='GET', code='200'}": growing(60),
    "region_operator_api_requests_total{method='PATCH', code='403'}": constant(3),
    "region_operator_reconciles_total{reason='Succeeded'}": growing(1),
    "region_operator_reconciles_total{reason='ApiUnavailable'}": constant(2),
    "region_operator_ledger_failures_total": constant(4),
    "region_operator_heartbeats_total{result='sent'}": growing(0.2),
    "region_operator_heartbeats_total{result='failed'}": constant(1),
}
"""What each operator serves, in good times."""

WORKERS: Mapping[str, Value] = {
    "region_worker_queue_tasks{state='due'}": constant(3),
    "region_worker_oldest_due_task_seconds": constant(20),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod that is scraped from one minute up to another, and leads from one minute on; None: never."""

    name: str
    begin: int = 0
    end: int = 10**6
    leads_from: int | None = None


TWO = (Pod(name="a", leads_from=0), Pod(name="b"))
RESTARTED = (Pod(name="a", end=60, leads_from=0), Pod(name="b", leads_from=62), Pod(name="c", begin=61))
"""The leader goes after an hour, the standby leads a minute later, and another pod comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An installation for so many minutes. `changes` are values of metrics that differ from those of good times."""

    changes: Mapping[str, Value] = field(default_factory=dict)
    pods: tuple[Pod, ...] = TWO
    minutes: int = 120
    workers_end: int = 10**6

    def input_series(self) -> list[dict[str, str]]:
        """Return the series as promtool reads them."""
        return [{"series": name, "values": " ".join(values)} for name, values in self._series()]

    def _series(self) -> Iterator[tuple[str, list[str]]]:
        changes, since_when = self.changes, {pod: pod.leads_from for pod in self.pods}
        others = {name: value for name, value in changes.items() if name not in {*OPERATORS, *WORKERS, LOOKED_UNTIL}}
        for pod, since in since_when.items():
            leads, looked = _of_leader(constant(1), since, otherwise=0), changes.get(LOOKED_UNTIL, growing(60))
            own = {name: changes.get(name, value) for name, value in OPERATORS.items()}
            own |= {"region_operator_leader": leads, LOOKED_UNTIL: _of_leader(looked, since, otherwise=0)}
            if since is not None:
                own |= {name: _of_leader(value, since) for name, value in {**LEADERS, **others}.items()}
            for name, value in own.items():
                yield _labelled(name, pod.name), self._values(pod, value)
        worker = Pod(name="w", end=self.workers_end)
        for name, value in WORKERS.items():
            yield _labelled(name, worker.name), self._values(worker, changes.get(name, value))

    def _values(self, pod: Pod, value: Value) -> list[str]:
        """Return a value for each minute; an ended pod's series ends at once, as that of a target that is gone."""
        values, before = [], False
        for minute in range(self.minutes):
            now = value(minute) if pod.begin <= minute < pod.end else None
            values.append("_" if now is None and not before else "stale" if now is None else f"{now:g}")
            before = now is not None
        return values


def _of_leader(value: Value, since: int | None, *, otherwise: float | None = None) -> Value:
    """Return what a pod serves that leads from a minute on, and before."""
    return lambda minute: otherwise if since is None or minute < since else value(minute)


def _labelled(name: str, instance: str) -> str:
    metric, _, labels = name.partition("{")
    inner = labels.removesuffix("}").replace("'", '"')
    return f'{metric}{{namespace="region-tick", instance="{instance}"{", " if inner else ""}{inner}}}'


def promtool_test(world: World, expectations: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return one of the tests of a file for promtool."""
    return {"interval": "1m", "input_series": world.input_series(), "promql_expr_test": expectations} | more
