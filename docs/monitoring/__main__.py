"""The command of `make monitoring`: writes what people install to watch Region tick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.generator.output import bring_up_to_date
from docs.generator.source import CHECKOUT
from docs.monitoring.dashboard import config_map, dashboard_json
from docs.monitoring.rules import prometheus_rule, rules_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDER = CHECKOUT / "manifests/monitoring"


def make_files() -> Mapping[Path, str]:
    """Return the text of each file. What is no object of Kubernetes stands in a folder that kubectl does not apply."""
    return {
        FOLDER / "prometheusrule.yaml": prometheus_rule(),
        FOLDER / "dashboard.yaml": config_map(),
        FOLDER / "files/rules.yaml": rules_file(),
        FOLDER / "files/dashboard.json": dashboard_json(),
    }


if __name__ == "__main__":
    bring_up_to_date(make_files(), ())
