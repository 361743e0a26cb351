"""The manifests as people install them: whole, by kustomize, twice in one cluster, and with a guarded deletion."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from region_tick.contract import VERSION
from tests.harness.kubectl import Kubectl
from tests.harness.objects import objects
from tests.harness.operator_process import CHECKOUT
from tests.harness.operator_rights import operator_kubeconfig
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.cluster.conftest import Standing
    from tests.harness.cluster import RunOperator

MANIFESTS = CHECKOUT / "manifests"
OPTIONS = ("network", "worker")
"""The options of an installation; manifests/admission is an option of a cluster."""
CONFIRM = "region-tick.dev/confirm-delete=true"


def test_the_folder_and_its_base_for_kustomize_are_the_same(kubectl: Kubectl) -> None:
    files = "\n---\n".join(path.read_text() for path in sorted(MANIFESTS.glob("*.yaml")))
    assert objects(kubectl("kustomize", str(MANIFESTS))) == objects(files)


def test_no_installation_has_what_all_of_a_cluster_share(kubectl: Kubectl) -> None:
    shared = objects(kubectl("kustomize", str(MANIFESTS / "cluster")))
    own = objects(kubectl("kustomize", str(MANIFESTS / "namespaced")))
    assert {kind for kind, _ in shared} == {"CustomResourceDefinition", "PriorityClass"}
    assert objects(kubectl("kustomize", str(MANIFESTS))) == shared | own
    assert all(item["kind"] == "Namespace" or item["metadata"]["namespace"] == "region-tick" for item in own.values())


def test_the_roles_of_people_are_bound_to_nobody_and_widen_no_other_role(kubectl: Kubectl) -> None:
    people = objects(kubectl("kustomize", str(MANIFESTS / "people")))
    assert set(people) == {("ClusterRole", f"region-tick-{name}") for name in ("view", "forward", "operate")}
    assert not any("aggregationRule" in role for role in people.values())
    kubectl("apply", "--dry-run=server", "-k", str(MANIFESTS / "people"))


def test_a_drain_takes_one_replica_at_a_time(kubectl: Kubectl) -> None:
    own = objects(kubectl("kustomize", str(MANIFESTS / "namespaced")))
    budget = own["PodDisruptionBudget", "region-operator"]["spec"]
    deployment = own["Deployment", "region-operator"]["spec"]
    assert budget["selector"] == deployment["selector"]
    assert (budget["maxUnavailable"], deployment["replicas"]) == (1, 2)


def test_the_example_of_an_overlay_changes_what_overlays_change(kubectl: Kubectl) -> None:
    everything = objects(kubectl("kustomize", str(CHECKOUT / "examples/overlay")))
    base = objects(kubectl("kustomize", str(MANIFESTS)))
    assert everything.keys() >= base.keys() - {("Namespace", "region-tick")} | {("Namespace", "maps")}
    of_options = {"region-worker", "region-tick-ticks", "region-tick-confirm-delete"}
    assert {name for _, name in everything} >= of_options

    operator, worker = (everything["Deployment", f"region-{name}"]["spec"] for name in ("operator", "worker"))
    assert (operator["replicas"], worker["replicas"]) == (3, 5)
    [container] = operator["template"]["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    by_digest = re.compile(r"registry\.example\.com/region-tick/(\w+)@sha256:[0-9a-f]{64}")
    images_named = [by_digest.fullmatch(image) for image in (container["image"], variables["TICK_IMAGE"])]
    assert [found and found[1] for found in images_named] == ["operator", "tick"]
    assert variables["CONCURRENCY"] == "8"
    assert container["resources"]["limits"] == {"memory": "1Gi"}


def test_the_example_for_git_keeps_what_ticks_need_and_names_the_images_of_a_registry(kubectl: Kubectl) -> None:
    made = objects(kubectl("kustomize", str(CHECKOUT / "examples/gitops")))
    kept = {"argocd.argoproj.io/sync-options": "Prune=false", "kustomize.toolkit.fluxcd.io/prune": "disabled"}
    annotated = {kind: item["metadata"].get("annotations", {}) for (kind, _), item in made.items()}
    stays = {kind for kind, annotations in annotated.items() if annotations | kept == annotations}
    assert stays == {"CustomResourceDefinition", "Namespace", "PriorityClass", "RegionScheduler"}

    [container] = made["Deployment", "region-operator"]["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    registry = "registry.example.com/region-tick"
    assert container["image"] == f"{registry}/operator:{VERSION}"
    assert variables["TICK_IMAGE"] == f"{registry}/tick:{VERSION}"
    assert variables["BOOTSTRAP"] == "false"


def write_overlay(folder: Path, namespace: str) -> None:
    """Write a further installation with its options, in a namespace of its own, as a user does."""
    back = "/".join([".."] * len(folder.resolve().parts[1:]))
    components = [f"{back}{MANIFESTS / option}" for option in OPTIONS]
    text = {"namespace": namespace, "resources": [f"{back}{MANIFESTS / 'namespaced'}"], "components": components}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))


def test_an_installation_goes_and_another_one_stays(
    standing: Standing, run_operator: RunOperator, kubectl: Kubectl, tmp_path: Path
) -> None:
    def standing_uids() -> dict[str, str]:
        return {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()}

    other = Kubectl(kubectl.kubeconfig, f"tenant-{secrets.token_hex(3)}")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    write_overlay(overlay, other.namespace)
    with standing(3):
        before = standing_uids()
        other("apply", "--kustomize", str(overlay))
        own = {"POD_NAMESPACE": other.namespace, "KUBECONFIG": str(operator_kubeconfig(other, tmp_path))}
        eventually(lambda: is_unchanged(other, overlay), what="no difference, but for controllers that write meanwhile")
        with run_operator(**own, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"):
            eventually(other.scheduler, what="the other installation has its RegionScheduler")
            other("delete", "--kustomize", str(overlay), "--wait=false")
            eventually(lambda: not other.scheduler(), what="the other installation is gone", seconds=60)
        assert standing_uids() == before
        assert kubectl.get("priorityclasses", "--field-selector=metadata.name=region-tick")["items"]


def is_unchanged(kubectl: Kubectl, overlay: Path) -> bool:
    with suppress(AssertionError):  # it ends with 1
        return not kubectl("diff", "--kustomize", str(overlay))
    return False


@pytest.fixture
def policy(control_plane: LocalCluster) -> Iterator[None]:
    """The policy that asks for a confirmation."""
    everywhere = Kubectl(control_plane.kubeconfig, "default")
    everywhere("apply", "--filename", str(MANIFESTS / "admission"))
    yield
    everywhere("delete", "--filename", str(MANIFESTS / "admission"))


def refusal(kubectl: Kubectl) -> str:
    """Return why the policy refuses the deletion. A new policy takes a moment to be in force."""
    dry_run = ("delete", "regionscheduler", "default", "--dry-run=server")
    return eventually(lambda: kubectl.fails(*dry_run), what="the policy is in force", seconds=60)


@pytest.mark.usefixtures("policy")
def test_a_deletion_wants_a_confirmation_while_regions_stand(standing: Standing, kubectl: Kubectl) -> None:
    with standing(3):
        message = refusal(kubectl)
        assert "keeps the CronJobs of 3 regions" in message
        assert f"kubectl annotate regionscheduler default -n {kubectl.namespace} {CONFIRM}" in message
        assert "keeps the CronJobs" in kubectl.fails("delete", "regionschedulers", "--all")
        assert len(kubectl.cronjobs()) == 3

        kubectl("annotate", "regionscheduler", "default", CONFIRM)
        kubectl("delete", "regionscheduler", "default")
        eventually(lambda: not kubectl.cronjobs(), what="the CronJobs go with it", seconds=60)


@pytest.mark.usefixtures("policy")
def test_a_deletion_needs_no_confirmation_without_regions(standing: Standing, sql: Any, kubectl: Kubectl) -> None:
    with standing(1):
        refusal(kubectl)
        sql("DELETE FROM region_index")
        eventually(lambda: not kubectl.fails("delete", "regionscheduler", "default"), what="nothing ticks any more")


@pytest.mark.usefixtures("policy")
def test_a_namespace_goes_without_a_confirmation(standing: Standing, kubectl: Kubectl) -> None:
    with standing(3):
        refusal(kubectl)
        kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
        eventually(lambda: not kubectl.scheduler(), what="the RegionScheduler goes with it", seconds=90)
        gone = ("get", "namespace", kubectl.namespace)
        eventually(lambda: kubectl.fails(*gone), what="the namespace is gone", seconds=90)
