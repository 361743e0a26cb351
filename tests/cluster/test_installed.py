"""All of it as a user installs it: manifests, images, a real kubelet, Pod Security `restricted`, ticks in real pods."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import tarfile
import textwrap
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from devcluster import images, start_local
from devcluster.postgres import Postgres
from region_tick.contract import VERSION
from tests.cluster.kubectl import Kubectl
from tests.cluster.operator_process import CHECKOUT
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster

pytestmark = pytest.mark.timeout(900)

MANIFESTS = CHECKOUT / "manifests"
NAMESPACE = "region-tick"
NEXT_VERSION = "0.1.1-next"
EVERY_MINUTE = "* * * * *"

SLOW_HANDLER = textwrap.dedent(
    """
    import time

    def run(tick):
        time.sleep(8)
        with tick.connection.transaction():
            tick.connection.execute("INSERT INTO public.effects VALUES (%s)", (tick.attempt,))
    """
)


@pytest.fixture(scope="module")
def node() -> Iterator[LocalCluster]:
    """A cluster with a node that has both images, each also under the next version's tag."""
    archives = {
        name: images.build(CHECKOUT / f"Dockerfile.{name}", f"region-tick/{name}:{VERSION}")
        for name in ("operator", "tick")
    }
    with start_local(f"tests-node-{os.getpid()}", node=True) as cluster:
        for name, archive in archives.items():
            cluster.load_image(archive)
            cluster.load_image(
                retagged(archive, f"region-tick/{name}:{NEXT_VERSION}", cluster.layout.folder / f"{name}.tar")
            )
        yield cluster


@pytest.fixture
def installed(node: LocalCluster) -> Iterator[Kubectl]:
    """The manifests applied to the cluster; in the end they are deleted, which has to end."""
    kubectl = Kubectl(node.kubeconfig, NAMESPACE)
    kubectl("apply", "-f", str(MANIFESTS))
    yield kubectl
    uninstall(kubectl)


@pytest.fixture
def database(node: LocalCluster) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to a Postgres that pods reach too."""
    with Postgres.temporary() as server:
        server.start(("127.0.0.1", node.host_address))
        with psycopg.connect(server.url(), autocommit=True) as connection:
            yield connection


@pytest.fixture
def running(installed: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster) -> Kubectl:
    """The operator, ready."""
    create_secret(installed, database, node)
    wait_until_ready(installed)
    return installed


def create_secret(kubectl: Kubectl, connection: psycopg.Connection[Any], node: LocalCluster) -> None:
    info = connection.info
    url = f"postgresql://{info.user}:{info.password}@{node.host_address}:{info.port}/{info.dbname}"
    kubectl("create", "secret", "generic", "region-tick-database", f"--from-literal=DATABASE_URL={url}")


def wait_until_ready(kubectl: Kubectl) -> None:
    kubectl("rollout", "status", "deployment/region-operator", "--timeout=110s")
    eventually(lambda: kubectl.ready().get("status") == "True", what="the RegionScheduler is ready", seconds=60)


def uninstall(kubectl: Kubectl) -> None:
    """Delete everything; kubectl waits for it, and must not have to wait for more than a minute."""
    kubectl("delete", "-f", str(MANIFESTS), "--ignore-not-found", "--timeout=60s")
    namespaces = [item["metadata"]["name"] for item in kubectl.get("namespaces")["items"]]
    assert NAMESPACE not in namespaces


def add_regions(connection: psycopg.Connection[Any], *codes: str, cron: str = EVERY_MINUTE) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO region_index (code, name, cron_schedule) VALUES (%s, 'a region', %s)",
            [(code, cron) for code in codes],
        )


def runs(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT job_name, state, reason, attempt FROM region_tick.job_run ORDER BY job_name"
    ).fetchall()


def completed_jobs(kubectl: Kubectl) -> list[str]:
    return sorted(job["metadata"]["name"] for job in kubectl.get("jobs")["items"] if job["status"].get("succeeded"))


def test_rows_tick_in_real_pods_and_job_run_says_so(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    add_regions(database, "R1", "R2", "R3")
    eventually(lambda: len(completed_jobs(running)) >= 3, what="three completed Jobs", seconds=150)
    database.execute("UPDATE region_index SET active = false")
    eventually(lambda: not running.cronjobs(), what="no further Jobs")
    eventually(lambda: all_finished(running), what="all Jobs have ended", seconds=60)
    rows = runs(database)
    assert [row[0] for row in rows] == completed_jobs(running)
    assert {row[1:] for row in rows} == {("succeeded", "ok", 1)}

    leader = running.get("lease", "region-operator")["spec"]["holderIdentity"].partition("_")[0]
    assert leader in operator_pods(running)
    assert len(operator_pods(running)) == 2
    namespace = running.get("namespace", NAMESPACE)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert all(
        job["metadata"]["ownerReferences"][0]["kind"] == "CronJob" if "ownerReferences" in job["metadata"] else True
        for job in running.get("jobs")["items"]
    )


def operator_pods(kubectl: Kubectl) -> dict[str, Any]:
    """Return the operator's pods by name, but for those that are going."""
    pods = kubectl.get("pods", "--selector", "app.kubernetes.io/component=operator")["items"]
    return {pod["metadata"]["name"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def all_finished(kubectl: Kubectl) -> bool:
    return all(job["status"].get("completionTime") for job in kubectl.get("jobs")["items"])


def test_the_handlers_line_is_in_the_pods_log(running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]) -> None:
    add_regions(database, "R1")
    [job] = eventually(lambda: completed_jobs(running), what="a completed Job", seconds=150)[:1]
    lines = [json.loads(line) for line in running("logs", f"job/{job}").splitlines()]
    [poke] = [line for line in lines if line["event"] == "poke"]
    assert (poke["region.code"], poke["cron"]) == ("R1", EVERY_MINUTE)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", poke["ts"])


@contextmanager
def same_tick_twice(kubectl: Kubectl, connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Start one tick in two pods of one Job, with a handler that takes 8 s; yield the Job's name."""
    connection.execute("CREATE TABLE public.effects (attempt int)")
    add_regions(connection, "R1", cron="0 0 1 1 *")
    cronjob = eventually(lambda: kubectl.cronjobs().get("R1"), what="a CronJob")
    kubectl("create", "configmap", "handlers", f"--from-literal=slow.py={SLOW_HANDLER}")
    template = cronjob["spec"]["jobTemplate"]
    pod = template["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "handlers", "configMap": {"name": "handlers"}}]
    [container] = pod["containers"]
    container["volumeMounts"] = [{"name": "handlers", "mountPath": "/handlers"}]
    container["env"] = [
        item | {"value": "slow:run"} if item["name"] == "TICK_HANDLER" else item for item in container["env"]
    ]
    name = f"{cronjob['metadata']['name']}-{int(time.time()) // 60}"
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": template["spec"] | {"parallelism": 2, "completions": 2},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(job))
    yield name


def test_a_tick_that_is_started_twice_is_done_once(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    with same_tick_twice(running, database) as name:
        eventually(lambda: running.get("job", name)["status"].get("succeeded") == 2, what="both pods end", seconds=120)
        assert database.execute("SELECT attempt FROM effects").fetchall() == [(1,)]
        assert runs(database) == [(name, "succeeded", "ok", 1)]
        pods = running.get("pods", "--selector", f"batch.kubernetes.io/job-name={name}")["items"]
        logs = [running("logs", pod["metadata"]["name"]) for pod in pods]
        assert Counter('"event": "claimed"' in log for log in logs) == {True: 1, False: 1}


def test_a_tick_whose_process_is_killed_is_taken_over(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    with same_tick_twice(running, database) as name:
        [(holder,)] = eventually(
            lambda: database.execute("SELECT pod FROM region_tick.job_run WHERE state = 'running'").fetchall(),
            what="one pod has the claim",
            seconds=60,
        )
        kill(tick_process(holder))
        eventually(lambda: running.get("job", name)["status"].get("succeeded") == 2, what="the Job ends", seconds=180)
        assert database.execute("SELECT attempt FROM effects").fetchall() == [(2,)]
        assert runs(database) == [(name, "succeeded", "ok", 2)]


def tick_process(pod: str) -> int:
    """Return the pid, on this machine, of a pod's tick."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if f"POD_NAME={pod}".encode() in environment.split(b"\0") and b"region_tick" in command:
                return int(folder.name)
    raise AssertionError(f"no process of pod {pod}")


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def test_a_missing_secret_is_a_state_and_no_crash_loop(
    installed: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster
) -> None:
    ready = eventually(installed.ready, what="a status", seconds=90)
    assert (ready["status"], ready["reason"]) == ("False", "DatabaseNotConfigured")
    assert "kubectl create secret generic region-tick-database" in ready["message"]
    before = operator_pods(installed)
    create_secret(installed, database, node)
    eventually(lambda: installed.ready()["status"] == "True", what="the Secret's creation is enough", seconds=180)
    after = operator_pods(installed)
    assert after.keys() == before.keys()
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in after.values()] == [0, 0]


def test_a_second_apply_changes_nothing_and_a_new_version_rolls_the_operator_alone(
    running: Kubectl, tmp_path: Path
) -> None:
    assert not re.findall(r".* (?:configured|created)$", running("apply", "-f", str(MANIFESTS)), re.MULTILINE)
    for manifest in MANIFESTS.glob("*.yaml"):
        text = manifest.read_text()
        (tmp_path / manifest.name).write_text(
            re.sub(rf"(region-tick/\w+):{re.escape(VERSION)}", rf"\1:{NEXT_VERSION}", text)
        )
    changed = re.findall(r"(.*) (?:configured|created)$", running("apply", "-f", str(tmp_path)), re.MULTILINE)
    assert changed == ["deployment.apps/region-operator"]
    wait_until_ready(running)
    images_in_use = {pod["spec"]["containers"][0]["image"] for pod in operator_pods(running).values()}
    assert images_in_use == {f"region-tick/operator:{NEXT_VERSION}"}


def test_it_can_be_deleted_with_the_operator_killed_first(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    add_regions(database, "R1", "R2")
    eventually(lambda: len(running.cronjobs()) == 2, what="CronJobs")
    running("scale", "deployment/region-operator", "--replicas=0")
    running("delete", "pods", "--selector", "app.kubernetes.io/component=operator", "--force", "--grace-period=0")
    uninstall(running)


def test_it_can_be_deleted_with_the_operator_alive_and_ticks_under_way(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    add_regions(database, "R1", "R2")
    eventually(lambda: running.get("jobs")["items"], what="a Job", seconds=90)
    uninstall(running)


def test_the_manifests_name_the_release() -> None:
    documents = [item for path in MANIFESTS.glob("*.yaml") for item in yaml.safe_load_all(path.read_text())]
    [deployment] = [document for document in documents if document["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    tick_image = next(item["value"] for item in container["env"] if item["name"] == "TICK_IMAGE")
    assert (container["image"], tick_image) == (f"region-tick/operator:{VERSION}", f"region-tick/tick:{VERSION}")


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
