"""region_worker/metrics.py: the names follow Prometheus' conventions, and the docs mention only metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Metric

from region_worker import metrics

CHECKOUT = Path(__file__).parents[2]
DOCS = sorted((CHECKOUT / "docs").rglob("*.md"))
OURS = [family for family in REGISTRY.collect() if family.name.startswith("region_worker_")]


def test_each_metric_of_the_module_is_served() -> None:
    declared = [name for name, value in vars(metrics).items() if name.isupper() and hasattr(value, "collect")]
    assert len(declared) == len(OURS) == 6


@pytest.mark.parametrize("family", OURS, ids=lambda family: family.name)
def test_a_name_tells_its_unit_and_the_help_what_is_counted(family: Metric) -> None:
    assert re.fullmatch(r"region_worker(_[a-z]+)+", family.name)
    assert family.documentation.endswith(".")
    if family.type == "histogram":
        assert family.name.endswith("_seconds")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_what_the_docs_name_is_there(path: Path) -> None:
    served = {f"{family.name}_total" if family.type == "counter" else family.name for family in OURS}
    assert set(re.findall(r"\bregion_worker_[a-z_]+[a-z]", path.read_text())) - served == set()
