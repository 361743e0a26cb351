"""The folders that a Kustomization of Flux may name, in an artifact without symbolic links as Flux makes artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gitops.flux_site import WITHOUT_PODS, regionscheduler
from tests.harness.flux import files_below
from tests.harness.operator_process import CHECKOUT
from tests.harness.regions import add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.gitops.flux_site import FluxSite
    from tests.harness.cluster import RunOperator

pytestmark = pytest.mark.gitops

FOLDERS = ("crds", "manifests", "examples")
PATHS = ("./manifests", "./manifests/cluster", "./manifests/namespaced", "./crds", "./examples/gitops")


def test_each_folder_of_the_release_builds_and_is_applied(site: FluxSite) -> None:
    digest = site.release(files_below(CHECKOUT, *FOLDERS))
    for path in PATHS:
        name = path.strip("./").replace("/", "-")
        site.keep(name, path=path, prune=False, wait=False, patches=WITHOUT_PODS)
        ready = site.outcome(digest, name)
        assert ready["status"] == "True", (path, ready["message"])


def test_an_artifact_without_the_folder_crds_is_refused_and_says_why(site: FluxSite) -> None:
    digest = site.release(files_below(CHECKOUT, "manifests"))
    site.keep(path="./manifests", prune=False)
    ready = site.outcome(digest)
    assert (ready["status"], ready["reason"]) == ("False", "BuildFailed")
    assert "crds" in ready["message"]


def test_a_regionscheduler_waits_for_the_operators_kustomization(
    site: FluxSite, run_operator: RunOperator, database: str
) -> None:
    """As users have it who keep the RegionScheduler in a repository of their own."""
    add_regions(database, 1)
    digest = site.release(files_below(CHECKOUT, *FOLDERS) | regionscheduler())
    site.keep("regions", dependsOn=[{"name": "operator"}])
    eventually(lambda: site.ready("regions").get("reason") == "DependencyNotReady", what="the one waits")
    assert not site.kubectl.scheduler()
    with run_operator(BOOTSTRAP="false"):
        site.keep("operator", path="./manifests/namespaced", prune=False, patches=WITHOUT_PODS)
        assert site.outcome(digest, "regions")["status"] == "True"
    assert site.kubectl.ready()["reason"] == "InSync"
