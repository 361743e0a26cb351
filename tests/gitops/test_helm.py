"""The chart on a real control plane: installed, upgraded, uninstalled, beside another release, over other people's."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import start_local
from region_tick.contract import VERSION
from tests.harness.helm import CHART, RELEASE, Helm
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.cluster import RunOperator

pytestmark = pytest.mark.gitops

NAMESPACE = "region-tick"
NEXT_VERSION = "0.1.1-next"
NEXT_DIGEST = f"sha256:{'0f' * 32}"
KINDS = "serviceaccounts,roles,rolebindings,deployments,poddisruptionbudgets,crds,priorityclasses"
SHARED = {("CustomResourceDefinition", "regionschedulers.region-tick.dev"), ("PriorityClass", "region-tick")}
SCHEDULER = ("RegionScheduler", "default")
WITHOUT_SHARED = "--set=crds.install=false,priorityClass.create=false"
IN_THE_CHART = "--set=regionScheduler.create=true,regionScheduler.spec.concurrency=8"

Found = dict[tuple[str, str], Any]


@pytest.fixture
def helm(tmp_path: Path) -> Iterator[Helm]:
    """Helm on a control plane without anything of ours."""
    with start_local(f"tests-helm-{os.getpid()}", node=False) as cluster:
        yield Helm(tmp_path, NAMESPACE, cluster.kubeconfig)


@pytest.fixture
def here(kubectl: Kubectl, tmp_path: Path) -> Helm:
    """Helm on the test's namespace of a control plane that has what all installations share."""
    return Helm(tmp_path, kubectl.namespace, kubectl.kubeconfig)


def install(helm: Helm, *options: str) -> str:
    return helm("install", RELEASE, str(CHART), "--create-namespace", *options)


def upgrade(helm: Helm, *options: str) -> str:
    return helm("upgrade", RELEASE, str(CHART), *options)


def standing(helm: Helm, kinds: str = KINDS) -> Found:
    """Return what there is of ours, by kind and name."""
    assert helm.kubeconfig
    kubectl = Kubectl(helm.kubeconfig, helm.namespace)
    items = kubectl.get(kinds, "--selector", "app.kubernetes.io/name=region-tick")["items"]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def uids(found: Found) -> dict[tuple[str, str], str]:
    return {key: item["metadata"]["uid"] for key, item in found.items()}


def changed(before: Found, after: Found) -> set[tuple[str, str]]:
    """Return what was written between two looks: the status of a Deployment is none of Helm's writing."""
    parts = ("spec", "rules", "subjects", "value")
    return {
        key for key in after if [after[key].get(part) for part in parts] != [before[key].get(part) for part in parts]
    }


def test_an_upgrade_changes_what_it_names_and_an_uninstallation_leaves_what_ticks(helm: Helm) -> None:
    said = install(helm)
    assert f"kubectl create secret generic region-tick-database -n {NAMESPACE}" in said
    before = standing(helm)
    assert before.keys() == helm.template().keys()

    upgrade(helm, "--set=operator.replicas=3")
    assert changed(before, standing(helm)) == {("Deployment", "region-operator")}
    upgrade(helm, IN_THE_CHART)
    everything = standing(helm, f"{KINDS},regionschedulers")
    assert everything[SCHEDULER]["spec"]["concurrency"] == 8
    helm("rollback", RELEASE, "1")

    said = helm("uninstall", RELEASE)
    assert all(f"[{kind}] {name}" in said for kind, name in SHARED)
    kept = SHARED | {SCHEDULER}
    left = standing(helm, f"{KINDS},regionschedulers")
    assert uids(left) == {key: uid for key, uid in uids(everything).items() if key in kept}
    install(helm, IN_THE_CHART)
    assert uids(standing(helm, "regionschedulers")).items() <= uids(left).items()


@pytest.mark.parametrize("keeping", ["--reuse-values", "--reset-then-reuse-values"])
def test_a_new_release_brings_its_images_and_keeps_the_values(here: Helm, tmp_path: Path, keeping: str) -> None:
    install(here, WITHOUT_SHARED, "--set=operator.replicas=3")
    chart = shutil.copytree(CHART, tmp_path / "chart")
    about = (chart / "Chart.yaml").read_text().replace(VERSION, NEXT_VERSION)
    (chart / "Chart.yaml").write_text(f"{about}annotations: {{region-tick.dev/operator-digest: {NEXT_DIGEST!r}}}\n")
    here("upgrade", RELEASE, str(chart), keeping)
    operator = standing(here)["Deployment", "region-operator"]["spec"]
    [container] = operator["template"]["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    named = (operator["replicas"], container["image"], variables["TICK_IMAGE"])
    assert named == (3, f"region-tick/operator@{NEXT_DIGEST}", f"region-tick/tick:{NEXT_VERSION}")


def test_a_second_release_of_a_cluster_leaves_out_what_the_first_has(helm: Helm) -> None:
    install(helm)
    second = replace(helm, namespace="other")
    refused = second.fails("install", RELEASE, str(CHART), "--create-namespace")
    assert "invalid ownership metadata" in refused
    assert 'key "meta.helm.sh/release-namespace" must equal "other": current value is "region-tick"' in refused
    install(second, WITHOUT_SHARED)
    before = uids(standing(second))
    helm("uninstall", RELEASE)
    assert uids(standing(second)) == before
    assert standing(helm).keys() == SHARED
    upgrade(second, "--set=crds.install=true,priorityClass.create=true", "--take-ownership")
    owners = {standing(second)[key]["metadata"]["annotations"]["meta.helm.sh/release-namespace"] for key in SHARED}
    assert owners == {"other"}


def test_helm_takes_over_what_kubectl_applied(helm: Helm) -> None:
    assert helm.kubeconfig
    Kubectl(helm.kubeconfig, NAMESPACE)("apply", "--filename", str(CHECKOUT / "manifests"))
    before = standing(helm)
    assert "invalid ownership metadata" in helm.fails("install", RELEASE, str(CHART))
    install(helm, "--take-ownership", "--force-conflicts")
    after = standing(helm)
    assert uids(after) == uids(before)
    assert changed(before, after) == set()


def test_a_regionscheduler_can_be_in_the_chart_once_its_type_is_there(helm: Helm) -> None:
    first = helm.fails("install", RELEASE, str(CHART), "--create-namespace", IN_THE_CHART)
    assert 'no matches for kind "RegionScheduler" in version "region-tick.dev/v1alpha1"' in first
    assert "ensure CRDs are installed first" in first
    install(helm)
    upgrade(helm, IN_THE_CHART)
    assert standing(helm, "regionschedulers")[SCHEDULER]["spec"]["concurrency"] == 8


def test_helm_takes_over_the_regionscheduler_that_the_operator_made(
    here: Helm, kubectl: Kubectl, run_operator: RunOperator
) -> None:
    install(here, WITHOUT_SHARED, "--take-ownership", "--force-conflicts")  # the namespace may have the Role
    with run_operator(CONCURRENCY="5"):
        made = eventually(kubectl.scheduler, what="the operator has made its RegionScheduler")
    assert made["spec"]["concurrency"] == 5
    assert "invalid ownership metadata" in here.fails("upgrade", RELEASE, str(CHART), WITHOUT_SHARED, IN_THE_CHART)
    taking = (WITHOUT_SHARED, IN_THE_CHART, "--take-ownership")
    assert 'conflict with "region-operator-knobs": .spec.concurrency' in here.fails(
        "upgrade", RELEASE, str(CHART), *taking
    )
    upgrade(here, *taking, "--force-conflicts")
    taken = kubectl.scheduler()
    assert (taken["metadata"]["uid"], taken["spec"]["concurrency"]) == (made["metadata"]["uid"], 8)
    with run_operator(BOOTSTRAP="false"):
        eventually(lambda: kubectl.ready().get("status") == "True", what="the operator follows it", seconds=60)
    assert kubectl.scheduler()["spec"]["concurrency"] == 8
