"""Where Argo CD is measured: a control plane, a Postgres, the operator, and a Git repository with the example."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import yaml

from benchmarks.operator_under_test import Operator, wait_until
from devcluster import start_local
from devcluster.postgres import Postgres
from tests.harness.cluster import install
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.regions import add_regions
from tests.harness.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMESPACE = "region-tick"
PATH = "examples/gitops"
EXAMPLE = f"{PATH}/regionscheduler.yaml"
CONCURRENCY = 100
FILL_SECONDS = 1200


@dataclass(frozen=True, slots=True)
class Ground:
    """Where it is measured: the cluster, the database, the operator, and the repository that Argo CD follows."""

    kubectl: Kubectl
    url: str
    operator: Operator
    repository: Repository
    folder: Path

    def fill(self, regions: int, cron: str) -> None:
        """Add the regions, and wait until the operator follows all of them."""
        add_regions(self.url, regions, cron=cron)
        wait_until(lambda: len(self.operator.logged("added")) == regions, seconds=FILL_SECONDS)

    def commit(self, name: str, spec: Mapping[str, Any]) -> str:
        """Have Git say that much more of the RegionScheduler, under a name. Return the commit's name."""
        body = yaml.safe_load((CHECKOUT / EXAMPLE).read_text())
        body["spec"] |= {"concurrency": CONCURRENCY, **spec}
        body["metadata"]["annotations"]["case"] = name
        (self.repository.folder / EXAMPLE).write_text(yaml.safe_dump(body))
        return self.repository.commit(name)

    def ticks(self) -> int:
        """Return how many ticks have been done."""
        with psycopg.connect(self.url) as connection:
            done = connection.execute("SELECT count(*) FROM region_tick.job_run WHERE state = 'succeeded'").fetchall()
        return int(done[0][0])

    def follows(self) -> bool:
        """Whether the operator has followed what Git says."""
        found = self.kubectl.scheduler()
        observed = found.get("status", {}).get("observedGeneration")
        return bool(
            found and observed == found["metadata"]["generation"] and self.kubectl.ready().get("status") == "True"
        )


@contextmanager
def ground() -> Iterator[Ground]:
    """Start everything but Argo CD. Git has the example's RegionScheduler, and the cluster has it already."""
    with (
        start_local(f"bench-{os.getpid()}", node=False) as cluster,
        Postgres.temporary() as server,
        tempfile.TemporaryDirectory() as text,
    ):
        install(cluster)
        kubectl, folder = Kubectl(cluster.kubeconfig, NAMESPACE), Path(text)
        kubectl("create", "namespace", NAMESPACE)
        repository = Repository(folder / "repository")
        repository.take(EXAMPLE)
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        environment = {"DATABASE_URL": server.url(), "POD_NAMESPACE": NAMESPACE, "BOOTSTRAP": "false"}
        kubectl("apply", "-f", str(CHECKOUT / EXAMPLE))
        with Operator(folder, environment) as operator:
            wait_until(lambda: operator.logged("reconciled"))
            yield Ground(kubectl, server.url(), operator, repository, folder)
