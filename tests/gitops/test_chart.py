"""The chart, rendered by the real Helm: it makes the objects that kustomize makes of the manifests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from release.chart import chart_package
from tests.harness.helm import CHART, KEEP, RELEASE, Helm, at
from tests.harness.kubectl import Kubectl
from tests.harness.objects import objects
from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.objects import Objects

pytestmark = pytest.mark.gitops

OPERATOR = ("Deployment", "region-operator")
NAMESPACE = ("Namespace", "region-tick")
CONTAINER = "spec.template.spec.containers.operator"
DIGEST = f"sha256:{'0f' * 32}"
OPTIONS = ("network", "worker", "console", "admission")
ALL_OPTIONS = "--set=networkPolicies.enabled=true,worker.enabled=true,console.enabled=true,admission.enabled=true"


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Helm without a cluster."""
    return Helm(tmp_path, "region-tick")


@pytest.fixture
def kustomize(tmp_path: Path) -> Callable[..., Objects]:
    """What kubectl makes of a folder's Kustomization, or of one that is written here."""

    def build(folder: Path = tmp_path, **kustomization: object) -> Objects:
        if kustomization:
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return objects(Kubectl(tmp_path / "none", "default")("kustomize", str(folder)))

    return build


def without_helms_own(rendered: Objects) -> Objects:
    """Take what Helm is told of objects out of the objects, and check that it is told only that."""
    for key, item in rendered.items():
        annotations = item["metadata"].pop("annotations", {})
        assert annotations == (KEEP if key[0] in ("CustomResourceDefinition", "PriorityClass") else {}), key
    return rendered


def the_rest(made: Objects) -> Objects:
    """Take the namespace out, which Helm makes by --create-namespace, and of what belongs to none its namespace."""
    for kind, name in made:
        if kind.startswith("ValidatingAdmission"):
            made[kind, name]["metadata"].pop("namespace", None)  # kustomize does not know that the kind has none
    return {key: item for key, item in made.items() if key[0] != "Namespace"}


def test_the_chart_is_the_manifests(helm: Helm, kustomize: Callable[..., Objects]) -> None:
    made = kustomize(CHECKOUT / "manifests")
    assert NAMESPACE in made
    assert without_helms_own(helm.template()) == the_rest(made)


def test_its_options_in_another_namespace_are_the_components(tmp_path: Path, kustomize: Callable[..., Objects]) -> None:
    back = "/".join([".."] * len(tmp_path.resolve().parts[1:]))
    manifests = f"{back}{CHECKOUT}/manifests"
    made = kustomize(
        namespace="maps", resources=[manifests], components=[f"{manifests}/{option}" for option in OPTIONS]
    )
    assert without_helms_own(Helm(tmp_path, "maps").template(ALL_OPTIONS)) == the_rest(made)


def test_the_example_of_an_overlay_is_what_the_values_can_say_too(
    tmp_path: Path, kustomize: Callable[..., Objects]
) -> None:
    made = kustomize(CHECKOUT / "examples/overlay")
    values = tmp_path / "values.yaml"
    registry = "registry.example.com/region-tick"
    digests = {
        name: at(made[OPERATOR], place).partition("@")[2]
        for name, place in (("operator", f"{CONTAINER}.image"), ("tick", f"{CONTAINER}.env.TICK_IMAGE.value"))
    }
    memory = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
    values.write_text(
        json.dumps(
            {
                "operator": {
                    "image": {"repository": f"{registry}/operator", "digest": digests["operator"]},
                    "replicas": 3,
                    "resources": memory,
                    "settings": {"CONCURRENCY": 8},
                },
                "tick": {"image": {"repository": f"{registry}/tick", "digest": digests["tick"]}},
                "worker": {"image": {"repository": f"{registry}/worker"}, "replicas": 5},
            }
        )
    )
    assert min(map(len, digests.values())) == len(DIGEST)
    rendered = without_helms_own(Helm(tmp_path, "maps").template(f"--values={values}", ALL_OPTIONS))
    for item in (rendered[OPERATOR], made[OPERATOR]):
        at(item, f"{CONTAINER}.env").sort(key=lambda variable: variable["name"])
    assert rendered == the_rest(made)


def test_the_chart_of_a_release_names_its_images_by_digest_unless_the_values_say_more(
    helm: Helm, tmp_path: Path
) -> None:
    package = tmp_path / "chart.tgz"
    digests = {f"region-tick/{name}": f"sha256:{digit * 64}" for name, digit in (("operator", "a"), ("tick", "b"))}
    package.write_bytes(chart_package(CHECKOUT, "registry.example.com", digests, timestamp=0))

    def images(*options: str) -> list[str]:
        container = at(objects(helm("template", RELEASE, str(package), *options))[OPERATOR], CONTAINER)
        return [container["image"], at(container, "env.TICK_IMAGE.value")]

    operator, tick = (f"registry.example.com/{name}@{digest}" for name, digest in digests.items())
    assert images() == [operator, tick]
    assert images("--set=tick.image.tag=mine") == [operator, "registry.example.com/region-tick/tick:mine"]
    assert images(f"--set=tick.image.digest={DIGEST},tick.image.tag=mine") == [
        operator,
        f"registry.example.com/region-tick/tick@{DIGEST}",
    ]
    assert images("--set=operator.image.repository=mirror/o")[0] == f"mirror/o@{digests['region-tick/operator']}"


def test_helm_has_nothing_to_complain_of(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))
    assert "0 chart(s) failed" in helm(
        "lint", "--strict", str(CHART), ALL_OPTIONS, "--set=regionScheduler.create=true,database.url=x"
    )
