"""Ticks that enqueue and workers that fetch, as a user installs them, under Pod Security `restricted`."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from devcluster import images
from region_tick.contract import VERSION
from tests.harness.operator_process import CHECKOUT
from tests.harness.regions import add_regions
from tests.harness.upstream import Asked, replying, upstream
from tests.harness.waiting import eventually
from tests.node.installation import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.timeout(900)

FEED = "<rss><channel><item><guid>{0}-1</guid></item><item><guid>{0}-2</guid></item></channel></rss>"
IMAGE = f"region-tick/worker:{VERSION}"
SELECTOR = "app.kubernetes.io/component=worker"


def test_tasks_of_a_tick_are_fetched_although_a_worker_is_killed(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster
) -> None:
    node.load_image(images.build(CHECKOUT / "Dockerfile.tick", IMAGE, target="worker"))
    released = Event()

    def block(asked: Asked) -> None:
        released.wait(120)
        asked.answer(200, FEED.format(asked.path[1:]).encode())

    with upstream(address=str(node.host_address)) as server, ExitStack() as stack:
        add_regions(database, 1)
        for number in range(10):
            url = server.on(f"/{number}", block, replying(200, FEED.format(number).encode()))
            database.execute(
                "INSERT INTO region_tick.creator (source, region_id, platform, url)"
                " SELECT 'public.region_index', id::text, 'http', %s FROM region_index",
                (url,),
            )
        # In one go: pods of a first revision, which may not ask the test's server, would go on while they end.
        stack.enter_context(workers(running, POLL_ALLOW_NETWORKS=f"{node.host_address}/32"))
        running(
            *("patch", "regionscheduler", "default", "--type=merge"),
            *("--patch", '{"spec": {"tick": {"handler": "enqueue"}}}'),
        )
        cronjob = eventually(lambda: enqueuing(running), what="a CronJob that enqueues")
        running("create", "job", "once", f"--from=cronjob/{cronjob}")
        eventually(lambda: len(server.asked) >= 2, what="all places at the host are taken", seconds=90)
        running("delete", "pods", "--selector", SELECTOR, "--force", "--grace-period=0")
        released.set()
        eventually(lambda: items(database) == 20, what="all is fetched", seconds=240)
        assert database.execute("SELECT state, counts->>'enqueued' FROM region_tick.job_run").fetchall() == [
            ("succeeded", "10")
        ]
        assert 'region_worker_requests_total{answer="2xx"}' in metrics(running)
        assert restarts(running) == {0}


@contextmanager
def workers(kubectl: Kubectl, **environment: str) -> Iterator[None]:
    kubectl("apply", "-f", "-", stdin=json.dumps(worker(**environment)))
    try:
        kubectl("rollout", "status", "deployment/region-worker", "--timeout=110s")
        yield
    finally:
        kubectl("delete", "deployment", "region-worker", "--cascade=foreground", "--timeout=60s")


def worker(**environment: str) -> Any:
    """Return the workers' Deployment with further variables."""
    deployment = yaml.safe_load((MANIFESTS / "worker/deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["env"] += [{"name": name, "value": value} for name, value in environment.items()]
    return deployment


def metrics(kubectl: Kubectl) -> str:
    """Return what the workers serve at the port that the kubelet probes. One of them may have had no task."""
    code = "\n".join(
        (
            "import time",
            "from urllib.request import urlopen",
            "for attempt in range(60):",  # a worker that has just been started does not answer yet
            "    try:",
            "        print(urlopen('http://127.0.0.1:8080/metrics').read().decode())",
            "        break",
            "    except OSError:",
            "        time.sleep(1)",
        )
    )
    python = "/opt/region-tick/bin/python"
    pods = kubectl("get", "pods", "--selector", SELECTOR, "--output", "name").split()
    return "".join(kubectl("exec", pod, "--", python, "-c", code) for pod in pods)


def restarts(kubectl: Kubectl) -> set[int]:
    """Return how often the workers' containers were restarted, by the probe for example."""
    pods = kubectl.get("pods", "--selector", SELECTOR)["items"]
    return {status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"]}


def enqueuing(kubectl: Kubectl) -> str | None:
    cronjob = kubectl.cronjobs().get("R1")
    if cronjob is None:
        return None
    (container,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    handler = next(variable["value"] for variable in container["env"] if variable["name"] == "TICK_HANDLER")
    return str(cronjob["metadata"]["name"]) if handler == "enqueue" else None


def items(database: psycopg.Connection[tuple[Any, ...]]) -> int:
    row = database.execute("SELECT count(*) FROM region_tick.item").fetchone()
    assert row is not None
    return int(row[0])


def test_the_workers_manifest_names_the_release() -> None:
    (container,) = worker()["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
