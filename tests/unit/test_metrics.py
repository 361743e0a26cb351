"""runtime/metrics.py: the names follow Prometheus' conventions, and the docs mention only metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Metric

from region_operator.runtime import metrics
from region_operator.runtime.condition_metrics import CONDITIONS
from region_operator.runtime.freshness_metrics import FRESHNESS
from region_operator.runtime.tick_metrics import TICKS

CHECKOUT = Path(__file__).parents[2]
DOCS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]

OURS = [family for family in REGISTRY.collect() if family.name.startswith("region_operator_")]
SAMPLES = {sample.name for family in OURS for sample in family.samples} | {
    f"{family.name}_total" if family.type == "counter" else family.name for family in OURS
}


def test_each_metric_of_the_module_is_served() -> None:
    declared = [name for name, value in vars(metrics).items() if name.isupper() and hasattr(value, "collect")]
    collected = [family for collector in (TICKS, FRESHNESS, CONDITIONS) for family in collector.describe()]
    assert len(declared) == len(OURS) - len(collected)


@pytest.mark.parametrize("family", OURS, ids=lambda family: family.name)
def test_a_name_tells_its_unit_and_the_help_what_is_counted(family: Metric) -> None:
    assert re.fullmatch(r"region_operator(_[a-z]+)+", family.name)
    assert family.documentation.endswith(".")
    if family.type == "histogram":
        assert family.name.endswith("_seconds")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_what_the_docs_name_is_there(path: Path) -> None:
    named = set(re.findall(r"(?<![\w:])region_operator_[a-z_]+", path.read_text()))  # a recorded series has a colon
    assert named - SAMPLES == set()
