"""The RegionSchedulers in pages and examples: what people copy must survive a file that is gone from Git."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from region_operator.scheduler import API_VERSION, KIND

ROOT = Path(__file__).parents[2]
KEPT = {"argocd.argoproj.io/sync-options": "Prune=false", "kustomize.toolkit.fluxcd.io/prune": "disabled"}


def shipped() -> dict[str, Any]:
    """Return every complete RegionScheduler of a page or of a file, by where it is."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    texts = [(page, text) for page in pages for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    files = [file for folder in ("examples", "manifests") for file in (ROOT / folder).rglob("*.yaml")]
    texts += [(file, file.read_text()) for file in files]
    return {
        f"{path.relative_to(ROOT)}, {number}": body
        for number, (path, text) in enumerate(texts)
        for body in yaml.safe_load_all(text)
        if isinstance(body, dict) and (body.get("apiVersion"), body.get("kind")) == (API_VERSION, KIND)
    }


SHIPPED = shipped()


@pytest.mark.parametrize("body", SHIPPED.values(), ids=SHIPPED)
def test_argo_cd_and_flux_are_told_not_to_delete_it(body: dict[str, Any]) -> None:
    assert KEPT.items() <= body["metadata"]["annotations"].items()


def test_the_example_and_the_readme_are_among_them() -> None:
    assert {place.split(",")[0] for place in SHIPPED} >= {"README.md", "examples/regionscheduler.yaml"}
