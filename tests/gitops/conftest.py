"""A real Argo CD or a real Flux beside a test's control plane, and what each of them follows: Git, or a registry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.gitops.flux_site import FluxSite
from tests.harness import regions
from tests.harness.argocd import argocd
from tests.harness.argocd_application import Application
from tests.harness.flux import flux
from tests.harness.registry import Registry, registry
from tests.harness.repository import Repository
from tests.node.conftest import node

__all__ = ["node"]  # fixtures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.harness.argocd import ArgoCd
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

EXAMPLE = "examples/gitops/regionscheduler.yaml"
PATH = "examples/gitops"
OTHERS = f"{PATH}/others.yaml"
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: others}\ndata: {edition: first}\n"


@pytest.fixture(scope="session")
def argo(control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCd]:
    """Argo CD beside the control plane; all tests of a worker share it."""
    with argocd(control_plane.kubeconfig, tmp_path_factory.mktemp("argo") / "cd") as argo:
        yield argo


@pytest.fixture
def add_regions(database: str) -> AddRegions:
    """Add regions to the table of the test's database."""
    return partial(regions.add_regions, database)


@pytest.fixture
def repository(tmp_path: Path, kubectl: Kubectl) -> Repository:
    """A repository with the example's RegionScheduler, for the test's namespace, and something that is not ours."""
    repository = Repository(tmp_path / "repository")
    repository.take(EXAMPLE)
    repository.edit(EXAMPLE, "namespace: region-tick", f"namespace: {kubectl.namespace}")
    (repository.folder / OTHERS).write_text(OTHER)
    repository.commit("Tick")
    return repository


@pytest.fixture
def application(argo: ArgoCd, repository: Repository, kubectl: Kubectl) -> Iterator[Application]:
    """An Application that follows the repository."""
    application = Application.create(argo, repository, kubectl.namespace, path=PATH, namespace=kubectl.namespace)
    yield application
    application.delete(cascade=False)


@pytest.fixture(scope="session")
def flux_controllers(control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Flux beside the control plane; all tests of a worker share it."""
    with flux(control_plane, tmp_path_factory.mktemp("flux")):
        yield


@pytest.fixture(scope="session")
def oci_registry() -> Iterator[Registry]:
    """A registry that tests share."""
    with registry() as running:
        yield running


@pytest.fixture
def site(flux_controllers: None, oci_registry: Registry, kubectl: Kubectl) -> FluxSite:  # noqa: ARG001
    """A source and Kustomizations of the test's own, in the test's namespace."""
    return FluxSite(kubectl, oci_registry)
