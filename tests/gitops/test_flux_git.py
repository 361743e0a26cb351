"""A Git repository instead of an artifact: manifests/gitops/flux/git.yaml under a real Flux."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.gitops.flux_site import WITHOUT_PODS, shipped
from tests.harness.git_server import git_server
from tests.harness.regions import add_regions
from tests.harness.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gitops.flux_site import FluxSite
    from tests.harness.cluster import RunOperator

pytestmark = pytest.mark.gitops

EXAMPLE = "examples/gitops/regionscheduler.yaml"


def test_a_copy_of_this_repository_is_followed_commit_by_commit(
    site: FluxSite, run_operator: RunOperator, database: str, tmp_path: Path
) -> None:
    kubectl = site.kubectl
    repository = Repository(tmp_path / "region-tick")
    repository.take("crds", "manifests", "examples")  # with the symbolic links, which Flux leaves out
    commit = repository.commit("Tick")
    add_regions(database, 1)
    with git_server(tmp_path) as url, run_operator(BOOTSTRAP="false"):
        body = shipped("git.yaml")
        body["metadata"]["namespace"] = kubectl.namespace
        body["spec"] |= {"url": f"{url}/region-tick/.git", "ref": {"branch": "main"}, "interval": "2s"}
        kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))
        source = {"kind": "GitRepository", "name": "region-tick"}
        site.keep(sourceRef=source, path="./examples/gitops", prune=False, patches=WITHOUT_PODS)
        assert site.outcome(commit)["status"] == "True"
        assert kubectl.ready()["reason"] == "InSync"

        repository.edit(EXAMPLE, "concurrency: 4", "concurrency: 5")
        assert site.outcome(repository.commit("Tick more at once"))["status"] == "True"
        assert kubectl.scheduler()["spec"]["concurrency"] == 5

        assert site.outcome(repository.revert())["status"] == "True"
        assert kubectl.scheduler()["spec"]["concurrency"] == 4
