"""The page of the operator's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics import MetricWrapperBase

from docs.generator.markdown import code, codes, join, table, wrap
from region_operator.runtime import metrics
from region_operator.runtime.tick_metrics import TICKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric


def metrics_page() -> str:
    """Return the page without its head."""
    return join(
        wrap(
            "The operator serves these metrics at `/metrics` of its health port, as leader and as standby; only the"
            " leader serves those of the ticks themselves. Beside them stand prometheus_client's own metrics of the"
            " process: `process_*` and `python_*`."
        ),
        table(("metric", "type", "labels", "meaning"), sorted(_rows())),
    )


def _rows() -> Iterator[tuple[str, ...]]:
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            [described] = metric.describe()
            yield _row(described, metric._labelnames)
    for family in TICKS.describe():
        yield _row(family, family._labelnames)


def _row(described: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
    name = described.name + ("_total" if described.type == "counter" else "")
    return code(name), described.type, codes(labels), described.documentation
