"""The page of the operator's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics import MetricWrapperBase

from docs.generator.markdown import code, codes, join, table, wrap
from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator


def metrics_page() -> str:
    """Return the page without its head."""
    return join(
        wrap(
            "The operator serves these metrics at `/metrics` of its health port, as leader and as standby. Beside them"
            " stand prometheus_client's own metrics of the process: `process_*` and `python_*`."
        ),
        table(("metric", "type", "labels", "meaning"), sorted(_rows())),
    )


def _rows() -> Iterator[tuple[str, ...]]:
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            [described] = metric.describe()
            name = described.name + ("_total" if described.type == "counter" else "")
            yield code(name), described.type, codes(metric._labelnames), described.documentation
