"""What a user installs, and how the tests look at it: the manifests' own names, regions, Jobs, ledger rows."""

from __future__ import annotations

import copy
import io
import json
import tarfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from devcluster.postgres import Postgres
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.regions import add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster

MANIFESTS = CHECKOUT / "manifests"
NAMESPACE = "region-tick"
CONSOLE = "region-tick-console"
NEXT_VERSION = "0.1.1-next"
USERS_DOCKERFILE = CHECKOUT / "tests/node/image/Dockerfile"
USERS_IMAGE = "users/handlers:1"
SCHEDULER = {
    "apiVersion": "region-tick.dev/v1alpha1",
    "kind": "RegionScheduler",
    "metadata": {"name": "default", "namespace": NAMESPACE},
}

OURS = "app.kubernetes.io/component=tick"


@dataclass(slots=True)
class Installation:
    """What a user has installed, for tests that do not do so themselves; `stands` while it does."""

    node: LocalCluster
    server: Postgres
    stands: bool = False

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.node.kubeconfig, NAMESPACE)

    def renew(self) -> None:
        """Install, or take away what earlier tests left: a RegionScheduler takes all with it that is its own.

        A settling that was under way when the tables were emptied may yet have written rows of ticks that it had read:
        those go when the new RegionScheduler is ready, which has no region and so no tick.
        """
        with connect(self.server) as connection:
            if self.stands:
                self.kubectl("delete", "regionscheduler", "default", "--ignore-not-found")
                self.kubectl("delete", "jobs", "--selector", OURS)  # those of CronJobs that were deleted have no owner
                eventually(self._nothing_left, what="its CronJobs, Jobs and pods go with it", seconds=60)
                empty(connection)
                self.kubectl("create", "-f", "-", stdin=json.dumps(SCHEDULER))
            else:
                empty(connection)
                self.kubectl("apply", "-f", str(MANIFESTS))
                create_secret(self.kubectl, connection, self.node)
                self.stands = True
            wait_until_ready(self.kubectl)
            connection.execute("TRUNCATE region_tick.job_run")

    def remove(self) -> None:
        """Uninstall, where it stands or half of it does."""
        if is_installed(self.kubectl):
            uninstall(self.kubectl)
        self.stands = False

    def _nothing_left(self) -> bool:
        owned = "cronjobs,jobs,pods,resourcequotas"
        return not self.kubectl.get(owned, "--selector", OURS)["items"]


def empty(connection: psycopg.Connection[Any]) -> None:
    """Take all rows out of the database, but for what migrations put there, and the user's own table."""
    tables = connection.execute(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
        " WHERE schemaname IN ('region_tick', 'public') AND tablename !~ 'version'"
    ).fetchall()
    if tables:
        connection.execute(f"TRUNCATE {', '.join(table for (table,) in tables)} CASCADE".encode())
    connection.execute("DROP TABLE IF EXISTS public.effects")


def create_secret(
    kubectl: Kubectl, connection: psycopg.Connection[Any], node: LocalCluster, name: str = "region-tick-database"
) -> None:
    """Tell the operator of a database, whether it was told before or not; by another Secret's name, the console."""
    url = f"--from-literal=DATABASE_URL={pod_url(connection, node)}"
    create = ("create", "secret", "generic", name, url)
    kubectl("apply", "-f", "-", stdin=kubectl(*create, "--dry-run=client", "--output=yaml"))


@contextmanager
def console_of(kubectl: Kubectl, connection: psycopg.Connection[Any], node: LocalCluster) -> Iterator[None]:
    """Install the console beside the operator, until the end of the block, and wait for it."""
    create_secret(kubectl, connection, node, CONSOLE)
    kubectl("apply", "-f", str(MANIFESTS / "console"))
    kubectl("rollout", "status", f"deployment/{CONSOLE}", "--timeout=110s")
    yield
    kubectl("delete", "-f", str(MANIFESTS / "console"))
    kubectl("delete", "secret", CONSOLE)


@contextmanager
def database_for_pods(node: LocalCluster) -> Iterator[psycopg.Connection[Any]]:
    """Start a new Postgres that pods reach too, until the end of the block, and connect to it."""
    with Postgres.temporary() as server:
        listen_for_pods(server, node)
        with connect(server) as connection:
            yield connection


def listen_for_pods(server: Postgres, node: LocalCluster) -> None:
    """Start a Postgres that pods reach too, unless it runs."""
    server.start(("127.0.0.1", node.host_address))


def connect(server: Postgres) -> closing[psycopg.Connection[Any]]:
    """Connect, until the end of the block. The server may be stopped meanwhile."""
    return closing(psycopg.connect(server.url(), autocommit=True))


def pod_url(connection: psycopg.Connection[Any], node: LocalCluster) -> str:
    """Return the URL by which pods reach a database."""
    info = connection.info
    return f"postgresql://{info.user}:{info.password}@{node.host_address}:{info.port}/{info.dbname}"


def wait_until_ready(kubectl: Kubectl) -> None:
    kubectl("rollout", "status", "deployment/region-operator", "--timeout=110s")
    eventually(lambda: kubectl.ready().get("status") == "True", what="the RegionScheduler is ready", seconds=60)


def uninstall(kubectl: Kubectl) -> None:
    """Delete everything; kubectl waits for it, and must not have to wait for more than a minute."""
    kubectl("delete", "-f", str(MANIFESTS), "--ignore-not-found", "--timeout=60s")
    assert not is_installed(kubectl)


def is_installed(kubectl: Kubectl) -> bool:
    """Whether anything of it is left in the cluster: its namespace comes first and goes last."""
    return NAMESPACE in [item["metadata"]["name"] for item in kubectl.get("namespaces")["items"]]


def use_handler(kubectl: Kubectl, connection: psycopg.Connection[Any], handler: str, **tick: object) -> None:
    """Have the ticks run one of the user's handlers, which leave a row each in `effects`."""
    connection.execute("CREATE TABLE public.effects (region text, tick_at timestamptz, attempt int)")
    patch = {"spec": {"tick": {"image": USERS_IMAGE, "handler": f"work:{handler}", **tick}}}
    kubectl("patch", "regionscheduler", "default", "--type=merge", "--patch", json.dumps(patch))


def effects(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Return what the user's handler did, as region code and attempt."""
    return connection.execute("SELECT region, attempt FROM public.effects ORDER BY region").fetchall()


def started_tick(kubectl: Kubectl, connection: psycopg.Connection[Any], *, pods: int) -> str:
    """Start one tick of one region, which takes 8 s, as its CronJob's controller would, but in so many pods of the one
    Job; return the Job's name.
    """
    use_handler(kubectl, connection, "long")
    add_regions(connection, 1)
    cronjob = eventually(lambda: kubectl.cronjobs().get("R1"), what="a CronJob")
    job = job_of(cronjob, int(time.time()) // 60)
    job["spec"] |= {"parallelism": pods, "completions": pods}
    kubectl("create", "-f", "-", stdin=json.dumps(job))
    return str(job["metadata"]["name"])


def job_of(cronjob: dict[str, Any], minute: int) -> dict[str, Any]:
    """Return the Job that a CronJob's controller makes for a minute, in minutes since 1970."""
    template, name = cronjob["spec"]["jobTemplate"], cronjob["metadata"]["name"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "controller": True}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name}-{minute}",
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner | {"uid": cronjob["metadata"]["uid"]}],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def runs(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT job_name, state, reason, attempt FROM region_tick.job_run ORDER BY job_name"
    ).fetchall()


def completed_jobs(kubectl: Kubectl) -> list[str]:
    return sorted(job["metadata"]["name"] for job in kubectl.get("jobs")["items"] if job["status"].get("succeeded"))


def all_finished(kubectl: Kubectl) -> bool:
    return all(job["status"].get("completionTime") for job in kubectl.get("jobs")["items"])


def operator_pods(kubectl: Kubectl) -> dict[str, Any]:
    """Return the operator's pods by name, but for those that are going."""
    pods = kubectl.get("pods", "--selector", "app.kubernetes.io/component=operator")["items"]
    return {pod["metadata"]["name"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def retagged(archive: Path, tag: str, target: Path) -> Path:
    """Copy a docker-archive under another tag."""
    with tarfile.open(archive) as source, tarfile.open(target, "w") as copy:
        for member in source:
            content = source.extractfile(member).read() if member.isfile() else b""  # type: ignore[union-attr]
            if member.name == "manifest.json":
                content = json.dumps([entry | {"RepoTags": [tag]} for entry in json.loads(content)]).encode()
                member.size = len(content)
            copy.addfile(member, io.BytesIO(content))
    return target
