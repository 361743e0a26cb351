"""Turns alerts and recording rules into a file of rules for Prometheus, and into a PrometheusRule. Pure."""

from __future__ import annotations

from typing import Any

import yaml

from docs.monitoring.alerts import ALERTS, Alert
from docs.monitoring.expressions import RECORDS

RUNBOOKS = "https://git.example.com/region-tick/docs/runbooks"
"""Where the pages of docs/runbooks can be read. Whoever publishes this repository names the place here."""

_MADE = "# Made by `make monitoring` from docs/monitoring. Edit the source, not this file.\n"


def rule_groups() -> dict[str, Any]:
    """Return the content of a file of rules."""
    records = [{"record": record.name, "expr": record.expr} for record in RECORDS]
    return {
        "groups": [
            {"name": "region-tick.records", "interval": "1m", "rules": records},
            {"name": "region-tick.alerts", "rules": [_rule(alert) for alert in ALERTS]},
        ]
    }


def rules_file() -> str:
    """Return the file of rules for a Prometheus without an operator of its own."""
    return _MADE + _as_yaml(rule_groups())


def prometheus_rule() -> str:
    """Return the PrometheusRule for the Prometheus operator."""
    return _MADE + _as_yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {
                "name": "region-tick",
                "namespace": "region-tick",
                "labels": {"app.kubernetes.io/name": "region-tick"},
            },
            "spec": rule_groups(),
        }
    )


def _rule(alert: Alert) -> dict[str, Any]:
    lasts = {"for": alert.lasts} if alert.lasts else {}
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **lasts,
        "labels": {"severity": alert.severity.value},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOKS}/{alert.name}.md",
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, as people write them."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _as_yaml(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
