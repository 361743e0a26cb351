"""The page of the alerts and recording rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.generator.markdown import code, join, section, table, wrap
from docs.generator.source import Texts
from docs.monitoring import alerts
from docs.monitoring.alerts import ALERTS, Severity
from docs.monitoring.expressions import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator


def alerts_page() -> str:
    """Return the page without its head."""
    texts = Texts(alerts)
    return join(
        wrap(
            "[`monitoring.md`](../monitoring.md) says how to install the alerts. Each name leads to its page: what you"
            " see, why, what to do, how to know it is over."
        ),
        table(("alert", "severity", "after", "says"), _alerts()),
        section(
            "Severities",
            table(("severity", "look"), ((code(each), texts.of(Severity, each.name)) for each in Severity)),
        ),
        section(
            "Recorded",
            wrap("These series are recorded for the alerts and the dashboard:"),
            table(("series", "expression"), ((code(record.name), code(record.expr)) for record in RECORDS)),
        ),
    )


def _alerts() -> Iterator[tuple[str, ...]]:
    for alert in ALERTS:
        says = alert.summary.replace("{{ $labels.", "{").replace("{{ $value | humanizeDuration }}", "{so long}")
        says = says.replace(" }}", "}")
        yield f"[{alert.name}](../runbooks/{alert.name}.md)", alert.severity.value, alert.lasts or "at once", says
