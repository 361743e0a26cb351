"""Gives tests a real control plane, each test its own namespace, and the operator as a process."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING, Protocol

import pytest

from devcluster import start_local
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT, OperatorProcess
from tests.harness.operator_rights import install_rights, operator_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from devcluster.local import LocalCluster


KUBERNETES = "Kubernetes"
"""The property of a test that says on which version of Kubernetes the test ran."""


class RunOperator(Protocol):
    """Starts the operator on the test's namespace and database. Keywords become environment variables."""

    def __call__(self, **environment: str) -> AbstractContextManager[OperatorProcess]: ...


@pytest.fixture(scope="session")
def control_plane() -> Iterator[LocalCluster]:
    """API server, etcd and controller manager, without a node; the CRD and the PriorityClass are installed."""
    with start_local(f"tests-{os.getpid()}", node=False) as cluster:
        install(cluster)
        yield cluster


def install(cluster: LocalCluster) -> None:
    """Install the CRD and the PriorityClass, which belong to no namespace."""
    Kubectl(cluster.kubeconfig, "default")(
        "apply", "-f", str(CHECKOUT / "crds"), "-f", str(CHECKOUT / "manifests/20-priorityclass.yaml")
    )


@pytest.fixture(scope="session")
def kubernetes_version(control_plane: LocalCluster) -> str:
    """The version that the API server says it has, e.g. v1.37.2."""
    version: str = json.loads(Kubectl(control_plane.kubeconfig, "default")("get", "--raw", "/version"))["gitVersion"]
    return version


@pytest.fixture
def kubectl(
    control_plane: LocalCluster, kubernetes_version: str, record_property: Callable[[str, object], None]
) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own."""
    record_property(KUBERNETES, kubernetes_version)
    namespace = f"t-{secrets.token_hex(4)}"
    cluster_wide = Kubectl(control_plane.kubeconfig, "default")
    cluster_wide("create", "namespace", namespace)
    yield Kubectl(control_plane.kubeconfig, namespace)
    cluster_wide("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture
def operator_environment(kubectl: Kubectl, database: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment variables that name the test's namespace and database, and the operator's own rights."""
    install_rights(kubectl)
    kubeconfig = operator_kubeconfig(kubectl, tmp_path_factory.mktemp("rights"))
    return {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": kubectl.namespace, "DATABASE_URL": database}


@pytest.fixture
def run_operator(operator_environment: dict[str, str], tmp_path: Path) -> RunOperator:
    """Return a function that starts the operator. The result is a context manager."""

    def run(**environment: str) -> OperatorProcess:
        log = tmp_path / f"operator-{len(list(tmp_path.iterdir()))}.log"
        return OperatorProcess(log, operator_environment | environment)

    return run
