"""Turns panels into the JSON of a Grafana dashboard, and into a ConfigMap from which Grafana's sidecar takes it. Pure.

The dashboard has no id, so every Grafana can import the dashboard. The uid stays the same, so a newer release replaces
the dashboard. The datasource is a variable. The format is Grafana 10's, which later releases read too.
"""

from __future__ import annotations

import json
import re
from itertools import count
from typing import TYPE_CHECKING, Any

import yaml

from docs.monitoring.panels import ROWS, Kind, Panel, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

UID = "region-tick"
SCHEMA_VERSION = 39
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _HEIGHT = 24, 8
_HEIGHTS = {Kind.STAT: 4}
_SHORTEST_INTERVAL = "1m"
"""Of a point: ticks are counted once a minute."""


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    return {
        "uid": UID,
        "title": "Region tick",
        "tags": ["region-tick"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "namespace",
                    "label": "Namespace",
                    "type": "query",
                    "datasource": _SOURCE,
                    "query": "label_values(region_operator_build_info, namespace)",
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": list(_panels()),
    }


def dashboard_json() -> str:
    """Return the dashboard as a file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def config_map() -> str:
    """Return the ConfigMap with the dashboard, labelled as Grafana's sidecar looks for it by default."""
    head = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "region-tick-dashboard",
            "namespace": "region-tick",
            "labels": {"app.kubernetes.io/name": "region-tick", "grafana_dashboard": "1"},
        },
    }
    body = re.sub("^", "    ", dashboard_json(), flags=re.MULTILINE).rstrip()
    made = "# Made by `make monitoring` from docs/monitoring. Edit the source, not this file.\n"
    return f"{made}{yaml.safe_dump(head, sort_keys=False)}data:\n  region-tick.json: |\n{body}\n"


def _panels() -> Iterator[dict[str, Any]]:
    """Yield rows and panels from top to bottom, each with an id of its own."""
    ids, top = count(1), 0
    for row in ROWS:
        yield {
            "id": next(ids),
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": top},
            "panels": [],
        }
        placed = list(_place(row, top + 1))
        top = max(place["y"] + place["h"] for _, place in placed)
        for panel, place in placed:
            yield {"id": next(ids), "gridPos": place, **_panel(panel)}


def _place(row: Row, top: int) -> Iterator[tuple[Panel, dict[str, int]]]:
    """Yield each panel with its place: side by side as long as the width lasts."""
    left = height = 0
    for panel in row.panels:
        if left + panel.width > _COLUMNS:
            left, top = 0, top + height
        height = _HEIGHTS.get(panel.kind, _HEIGHT)
        yield panel, {"h": height, "w": panel.width, "x": left, "y": top}
        left += panel.width


def _panel(panel: Panel) -> dict[str, Any]:
    instant = panel.kind is not Kind.LINES
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "instant": instant,
            "range": not instant,
            "format": "table" if panel.kind is Kind.TABLE else "time_series",
        }
        for number, query in enumerate(panel.queries)
    ]
    steps: list[dict[str, Any]] = [{"color": "blue", "value": None}]
    if panel.warn_at is not None:
        steps.append({"color": "orange", "value": panel.warn_at})
    drawn = {"custom": {"fillOpacity": 10, "showPoints": "never"}} if panel.kind is Kind.LINES else {}
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "interval": _SHORTEST_INTERVAL,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}, **drawn},
            "overrides": [],
        },
        **({"options": {"colorMode": "value", "graphMode": "none"}} if panel.kind is Kind.STAT else {}),
        **({"transformations": [_WITHOUT_TIME]} if panel.kind is Kind.TABLE else {}),
    }


_WITHOUT_TIME = {"id": "organize", "options": {"excludeByName": {"Time": True}}}
