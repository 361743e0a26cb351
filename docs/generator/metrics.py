"""The page of the metrics: of the operator, of the console, and of the workers of the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics import MetricWrapperBase

from docs.generator.markdown import code, codes, join, section, table, wrap
from region_operator.console import metrics as console_metrics
from region_operator.runtime import metrics
from region_operator.runtime.tick_metrics import TICKS
from region_worker import metrics as worker_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from prometheus_client import Metric

_COLUMNS = ("metric", "type", "labels", "meaning")


def metrics_page() -> str:
    """Return the page without its head."""
    return join(
        wrap(
            "The operator serves these metrics at `/metrics` of its health port, as leader and as standby; only the"
            " leader serves those of the ticks themselves. Beside them stand prometheus_client's own metrics of the"
            " process: `process_*` and `python_*`."
        ),
        table(_COLUMNS, sorted((*_rows(metrics), *(_row(family, family._labelnames) for family in TICKS.describe())))),
        section(
            "The console",
            wrap("The console serves this at `/metrics` of its port."),
            table(_COLUMNS, sorted(_rows(console_metrics))),
        ),
        section(
            "The worker",
            wrap(
                "Each worker of the queue serves these at `/metrics` of its health port. The tasks of the queue are"
                " counted in the database, so all workers serve the same figures: take the maximum, not the sum."
            ),
            table(_COLUMNS, sorted(_rows(worker_metrics))),
        ),
    )


def _rows(module: ModuleType) -> Iterator[tuple[str, ...]]:
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            [described] = metric.describe()
            yield _row(described, metric._labelnames)


def _row(described: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
    name = described.name + ("_total" if described.type == "counter" else "")
    return code(name), described.type, codes(labels), described.documentation
