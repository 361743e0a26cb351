"""What the dispatcher is worth: twenty ticks of one minute and four slots, with it and without, beside one Job.

All three run in turn, on one node of the run's own: one Job of the same twenty pods with `parallelism: 4` and no quota,
which is the least that Kubernetes takes; twenty regions with the operator there; the same twenty with the operator
stopped, so that the Job controller's back-off alone fills the slots. What counts is the ratio of the first two, which
is to be LIMIT at most, and that with the operator no tick comes too late: times depend on the machine. It takes about
five minutes, because minutes are what schedules are made of.

    .venv/bin/python -m benchmarks.dispatch
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

from devcluster import images, progress, start_local
from devcluster.postgres import Postgres
from devcluster.show import Stage
from region_operator.cronjobs.labels import CONTAINER
from region_tick.contract import VERSION, Variable
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devcluster.local import LocalCluster

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE = "region-tick"
LIMIT = 1.3
REGIONS, SLOTS, SECONDS = 20, 4, 2
START_DEADLINE_SECONDS = 30
AHEAD_SECONDS = 15
"""How long before its minute the schedules are set."""
LIMIT_SECONDS = 240
IMAGE = "region-tick/benchmark:1"
HANDLER = f"import time\n\n\ndef run(tick):\n    time.sleep({SECONDS})\n"
DOCKERFILE = f"FROM region-tick/tick:{VERSION}\nCOPY slow.py /handlers/\n"

Connection = psycopg.Connection[tuple[Any, ...]]


def main() -> int:
    """Measure and print; 1 where the regions take too long, or some of them come too late."""
    with start_local(f"bench-{os.getpid()}", node=True) as cluster, Postgres.temporary() as server:
        server.start(("127.0.0.1", cluster.host_address))
        cluster.load_image(build_image())
        stage = Stage(cluster.kubeconfig, NAMESPACE)
        install(stage, server.url(host=cluster.host_address))
        with psycopg.connect(server.url(), autocommit=True) as connection:
            with running_operator(cluster, server.url()):
                insert_regions(stage, connection)
                job = seconds_of_one_job(stage)
                minute = schedule_all(stage, connection)
                with_it = seconds_of_regions(connection, minute)
                minute = schedule_all(stage, connection)
            without = seconds_of_regions(connection, minute)
    show(job, with_it, without)
    seconds, late = with_it
    return 0 if seconds / job <= LIMIT and not late else 1


def show(job: float, with_it: tuple[float, int], without: tuple[float, int]) -> None:
    """Print the three figures."""
    table = Table(f"{REGIONS} PODS OF {SECONDS} S, {SLOTS} AT ONCE", "SECONDS", "RATIO", "SKIPPED AS LATE", box=None)
    table.add_row(f"one Job, parallelism {SLOTS}", f"{job:.1f}", "1.00", "")
    for name, (seconds, late) in (("regions", with_it), ("regions, operator stopped", without)):
        table.add_row(name, f"{seconds:.1f}", f"{seconds / job:.2f}", str(late))
    table.add_row("regions: at most", "", f"{LIMIT:.2f}", "0")
    Console().print(table)


def build_image() -> Path:
    """Build a user's image: the tick's, and a handler that takes a while."""
    with tempfile.TemporaryDirectory() as folder:
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(DOCKERFILE)
        (Path(folder) / "slow.py").write_text(HANDLER)
        tick = images.build(CHECKOUT / "Dockerfile.tick", f"region-tick/tick:{VERSION}")
        return images.build(dockerfile, IMAGE, base=tick)


def install(stage: Stage, url: str) -> None:
    """Install what ticks need, and the RegionScheduler; the operator itself runs as a process."""
    manifests = ("00-namespace", "10-crd", "20-priorityclass")
    for name in manifests:
        stage.ask("apply", "-f", str(CHECKOUT / f"manifests/{name}.yaml"))
    stage.ask("create", "secret", "generic", "region-tick-database", f"--from-literal=DATABASE_URL={url}")
    tick = {
        "image": IMAGE,
        "handler": "slow:run",
        "startDeadline": f"{START_DEADLINE_SECONDS}s",
        "retries": 0,
    }
    scheduler = {
        "apiVersion": "region-tick.dev/v1alpha1",
        "kind": "RegionScheduler",
        "metadata": {"name": "default"},
        "spec": {"concurrency": SLOTS, "tick": tick},
    }
    until(lambda: "default" in created(stage, scheduler), "the RegionScheduler")


def created(stage: Stage, body: dict[str, Any]) -> str:
    return stage.ask("apply", "-f", "-", stdin=json.dumps(body))


@contextmanager
def running_operator(cluster: LocalCluster, url: str) -> Iterator[None]:
    """Run the operator as a process, its log in a file that is forgotten."""
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "DATABASE_URL": url,
        "POD_NAMESPACE": NAMESPACE,
        "HEALTH_PORT": "0",
    }
    command = [sys.executable, "-m", "region_operator", "run"]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, env=environment, stdout=log) as process:
        try:
            yield
        finally:
            process.terminate()


def insert_regions(stage: Stage, connection: Connection) -> None:
    """Make the regions, with a schedule that is far off."""
    until(lambda: connection.execute("SELECT to_regclass('public.region_index')").fetchone() != (None,), "the table")
    add_regions(connection, REGIONS)
    until(lambda: len(cronjobs(stage)) == REGIONS, "a CronJob for each region")


def cronjobs(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        stage.ask("get", "cronjobs", "--selector", "app=region-tick", "--output", "json")
    )["items"]
    return found


def schedule_all(stage: Stage, connection: Connection) -> datetime:
    """Have all regions tick at one minute, soon; return that minute."""
    minute = (datetime.now(UTC) + timedelta(seconds=60 + AHEAD_SECONDS)).replace(second=0, microsecond=0)
    cron = f"{minute.minute} {minute.hour} {minute.day} {minute.month} *"
    connection.execute("UPDATE region_index SET cron_schedule = %s", (cron,))
    until(lambda: {item["spec"]["schedule"] for item in cronjobs(stage)} == {cron}, "the schedules")
    return minute


def seconds_of_regions(connection: Connection, minute: datetime) -> tuple[float, int]:
    """Return when the last tick of a minute ended, in seconds after it, and how many were skipped as too late."""
    rows: list[tuple[Any, ...]] = []

    def are_over() -> bool:
        statement = "SELECT state, finished_at FROM region_tick.job_run WHERE tick_at = %s AND finished_at IS NOT NULL"
        rows[:] = connection.execute(statement, (minute,)).fetchall()
        return len(rows) == REGIONS

    with progress.step(f"waiting for the ticks of {minute:%H:%M}"):
        until(are_over, "all ticks are over")
    last = max(finished for _, finished in rows)
    return (last - minute).total_seconds(), sum(state == "skipped" for state, _ in rows)


def seconds_of_one_job(stage: Stage) -> float:
    """Return how long one Job of the same pods takes. Each does a tick of its own, by hand; the quota counts none."""
    [template, *_] = cronjobs(stage)
    spec = template["spec"]["jobTemplate"]["spec"] | {"parallelism": SLOTS, "completions": REGIONS}
    pod = spec["template"]["spec"]
    del pod["priorityClassName"]
    [container] = [item for item in pod["containers"] if item["name"] == CONTAINER]
    own = {Variable.JOB_NAME: "metadata.name", Variable.JOB_UID: "metadata.uid"}
    container["env"] = [
        {"name": item["name"], "valueFrom": {"fieldRef": {"fieldPath": own[item["name"]]}}}
        if item["name"] in own
        else item
        for item in container["env"]
    ]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "floor"}, "spec": spec}
    stage.ask("create", "-f", "-", stdin=json.dumps(job))
    with progress.step("waiting for the one Job"):
        until(lambda: "completionTime" in status_of(stage, "floor"), "the Job is complete")
    status = status_of(stage, "floor")
    began, ended = (datetime.fromisoformat(status[key]) for key in ("startTime", "completionTime"))
    return (ended - began).total_seconds()


def status_of(stage: Stage, job: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(stage.ask("get", "job", job, "--output", "json")).get("status", {})
    return status


def until(check: Callable[[], bool], what: str) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {LIMIT_SECONDS} s: {what}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
