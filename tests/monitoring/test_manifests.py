"""manifests/monitoring: a component of an installation's own Kustomization, which selects the pods that stand."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from tests.harness.kubectl import kubectl_binary
from tests.harness.objects import objects
from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = CHECKOUT / "manifests"


def kustomize(folder: Path, **kustomization: Any) -> dict[tuple[str, str], Any]:
    """Return what a Kustomization makes, with paths from the checkout's manifests on."""
    up = "/".join([".."] * len(folder.resolve().parts[1:]))
    for part in ("resources", "components"):
        kustomization[part] = [f"{up}{MANIFESTS}/{name}" for name in kustomization.get(part, ())]
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    done = subprocess.run(
        [kubectl_binary(), "kustomize", folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def test_a_namespace_of_ones_own_is_that_of_monitors_too(tmp_path: Path) -> None:
    made = kustomize(tmp_path, namespace="maps", resources=["namespaced"], components=["worker", "monitoring"])
    watching = {
        ("PodMonitor", "region-tick"),
        ("PrometheusRule", "region-tick"),
        ("ConfigMap", "region-tick-dashboard"),
    }
    assert watching <= made.keys()
    assert {made[key]["metadata"]["namespace"] for key in watching} == {"maps"}


def test_the_monitor_finds_operators_and_workers_and_their_port(tmp_path: Path) -> None:
    made = kustomize(tmp_path, resources=["namespaced"], components=["worker", "monitoring"])
    monitor = made["PodMonitor", "region-tick"]["spec"]
    [wanted] = monitor["selector"]["matchExpressions"]
    [endpoint] = monitor["podMetricsEndpoints"]
    for name in ("region-operator", "region-worker"):
        template = made["Deployment", name]["spec"]["template"]
        assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert template["metadata"]["labels"][wanted["key"]] in wanted["values"]
        [container] = template["spec"]["containers"]
        assert endpoint["port"] in {port["name"] for port in container["ports"]}


def test_the_files_for_others_are_no_objects() -> None:
    rules = yaml.safe_load((MANIFESTS / "monitoring/files/rules.yaml").read_text())
    assert rules.keys() == {"groups"}
    assert not list((MANIFESTS / "monitoring").glob("rules.*"))
