"""Runs the demo: rows of a real Postgres become CronJobs of a real Kubernetes, tick in real pods, and follow edits.

Everything on the screen comes from the cluster and the database at that moment. The demo does what README.md tells a
user to do, with the same manifests and images. In addition, the demo starts a cluster and a Postgres, and inserts a few
regions.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from devcluster import images, progress
from devcluster.choose import choose
from devcluster.errors import ClusterError
from devcluster.postgres import Postgres
from devcluster.server import Server
from devcluster.show import Stage
from region_tick.contract import VERSION, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.cluster import Cluster

CHECKOUT = Path(__file__).resolve().parent.parent
Connection = psycopg.Connection[tuple[Any, ...]]
NAME = "region-tick-demo"
NAMESPACE = "region-tick"
DATABASE = "region_tick_demo"
POSTGRES_FOLDER = Path("/var/lib/region-tick/demo" if os.geteuid() == 0 else "~/.local/state/region-tick/demo")

REGIONS = (
    ("FR-IDF", "Île-de-France", (1.446170, 48.120081, 3.559220, 49.241504), "* * * * *"),
    ("DE-BE", "Berlin", (13.088346, 52.338245, 13.761161, 52.675509), "* * * * *"),
    ("JP-13", "Tōkyō", (138.942890, 35.501330, 139.918930, 35.898420), "* * * * *"),
    ("BR-RJ", "Rio de Janeiro", (-44.889290, -23.368930, -40.956720, -20.763200), "*/2 * * * *"),
    ("IS-1", "Höfuðborgarsvæðið", (-22.050000, 63.980000, -21.400000, 64.330000), "0 3 * * *"),
    ("KE-30", "Nairobi", (36.664060, -1.444720, 37.104880, -1.160330), "*/10 6-18 * * mon-fri"),
)

EDIT_SECONDS = 30
TICKS_SECONDS = 150
RUNS = """
SELECT region_code, to_char(tick_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'), cron, state, reason, attempt,
       round(extract(epoch FROM finished_at - started_at) * 1000), pod
FROM region_tick.job_run WHERE state = %s ORDER BY tick_at, region_code
"""


def run(*, keep: bool) -> None:
    """Show everything. With `keep`, cluster and Postgres stay up to look around. Without `keep`, and after a failure,
    both are stopped.
    """
    kept = False
    try:
        stage, server = _run()
        kept = keep
        if kept:
            _say_how_to_look_around(stage, server)
    finally:
        if not kept:
            down()


def down() -> None:
    """Stop and remove everything that the demo started. Without a running demo, nothing happens."""
    with progress.step("stopping the demo's cluster and Postgres"):
        choose(os.environ).down(NAME)
        server = _server()
        if isinstance(server, Postgres):
            server.stop()
        else:
            server.drop_database(DATABASE)


def _run() -> tuple[Stage, Server]:
    cluster = choose(os.environ).up(NAME, node=True)
    for image in ("operator", "tick"):
        tag = f"region-tick/{image}:{VERSION}"
        archive = images.build(CHECKOUT / f"Dockerfile.{image}", tag)
        with progress.step(f"loading {tag} into the cluster"):
            cluster.load_image(archive)
    server = _start_postgres(cluster)
    stage = Stage(cluster.kubeconfig, NAMESPACE)
    with stage.explained_failure(), psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
        _install(stage, _url_for_pods(server, cluster))
        _show_rows(stage, connection)
        _show_edit(stage, connection)
        _show_deactivation(stage, connection)
        _show_quarantine(stage, connection)
        _show_ticks(stage, connection)
        _show_console(stage, _url_for_pods(server, cluster))
    return stage, server


def _server() -> Server:
    url = os.environ.get("DATABASE_URL")
    return Server(url) if url else Postgres(POSTGRES_FOLDER.expanduser())


def _start_postgres(cluster: Cluster) -> Server:
    server = _server()
    with progress.step("starting Postgres with an empty database"):
        if isinstance(server, Postgres):
            server.start(tuple(dict.fromkeys(("127.0.0.1", cluster.host_address))))
        server.drop_database(DATABASE)
        server.create_database(DATABASE)
    return server


def _url_for_pods(server: Server, cluster: Cluster) -> str:
    return server.url(DATABASE, host=cluster.host_address) if isinstance(server, Postgres) else server.url(DATABASE)


def _install(stage: Stage, url: str) -> None:
    stage.step("The operator is installed with kubectl, and told its database by a Secret")
    stage.kubectl("apply", "-f", "manifests")
    _create_secret(stage, "region-tick-database", url)
    with progress.step("waiting for the operator to be ready"):
        stage.ask("rollout", "status", "deployment/region-operator", "--timeout=110s")
    stage.kubectl("get", "regionscheduler", "--output", "wide")


def _show_rows(stage: Stage, connection: Connection) -> None:
    stage.step("Rows become CronJobs")
    stage.sql("INSERT INTO region_index (code, name, bbox_min_lon, ..., cron_schedule) VALUES ('FR-IDF', ...), ...")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO region_index"
            " (code, name, bbox_min_lon, bbox_min_lat, bbox_max_lon, bbox_max_lat, cron_schedule)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [(code, name, *bbox, cron) for code, name, bbox, cron in REGIONS],
        )
    elapsed = _until(lambda: len(_cronjobs(stage)) == len(REGIONS), "a CronJob for each row")
    stage.kubectl("get", "cronjobs", "--selector", "app=region-tick")
    stage.say(f"{len(REGIONS)} CronJobs, {elapsed:.1f} s after the INSERT.")


def _show_edit(stage: Stage, connection: Connection) -> None:
    stage.step("An edit in the database shows in the cluster")
    _execute(stage, connection, "UPDATE region_index SET cron_schedule = '*/15 * * * *' WHERE code = 'IS-1'")
    elapsed = _until(lambda: _cronjobs(stage)["IS-1"] == "*/15 * * * *", "the new schedule")
    stage.kubectl("get", "cronjobs", "--selector", "app=region-tick")
    stage.say(f"Rescheduled {elapsed:.1f} s after the UPDATE; the CronJob was edited, not replaced.")


def _show_deactivation(stage: Stage, connection: Connection) -> None:
    stage.step("A region that is switched off loses its CronJob")
    _execute(stage, connection, "UPDATE region_index SET active = false WHERE code = 'KE-30'")
    elapsed = _until(lambda: "KE-30" not in _cronjobs(stage), "the CronJob is gone")
    stage.kubectl("get", "cronjobs", "--selector", "app=region-tick", "--output", "name")
    stage.say(f"Gone {elapsed:.1f} s after the UPDATE.")


def _show_quarantine(stage: Stage, connection: Connection) -> None:
    stage.step("A schedule that Kubernetes could not run is reported, and nothing else is touched")
    _execute(stage, connection, "UPDATE region_index SET cron_schedule = '0 3 * * 7' WHERE code = 'IS-1'")
    _until(lambda: "RegionsQuarantined" in stage.ask("get", "regionscheduler", "--output", "wide"), "the report")
    stage.kubectl("get", "regionscheduler", "--output", "wide")
    message = ("--output", "custom-columns=MESSAGE:.message")
    stage.kubectl("get", "events", "--field-selector", "reason=RegionQuarantined", *message)
    stage.kubectl("get", "cronjobs", "--selector", "app=region-tick")
    stage.say("Its CronJob is suspended with its last good schedule until the row is mended; the others run on.")


def _show_ticks(stage: Stage, connection: Connection) -> None:
    stage.step("A minute later: the ticks, in pods of their own, each once, each on record")
    with progress.step("waiting for the ticks of the next full minute"):
        _until(lambda: _regions_that_ticked(connection) >= 3, "ticks of three regions", seconds=TICKS_SECONDS)
        done = ("--field-selector", "status.phase=Succeeded", "--output", "name")
        pods = ("get", "pods", "--selector", "app=region-tick")
        _until(lambda: stage.ask(*pods, *done).count("pod/") >= 3, "their pods end")
    stage.kubectl(*pods)
    stage.sql("SELECT * FROM region_tick.job_run")
    columns = ("REGION", "TICK_AT", "CRON", "STATE", "REASON", "ATTEMPT", "MS", "POD")
    stage.table(columns, connection.execute(RUNS, (State.SUCCEEDED,)).fetchall())


def _show_console(stage: Stage, url: str) -> None:
    stage.step("The console shows it all as pages, and kubectl region as text")
    stage.kubectl("apply", "-f", "manifests/console")
    _create_secret(stage, "region-tick-console", url)  # of your own cluster: a role that only reads (docs/console.md)
    with progress.step("waiting for the console to be ready"):
        stage.ask("rollout", "status", "deployment/region-tick-console", "--timeout=110s")
    stage.region("status")
    stage.region("why", "DE-BE")


def _create_secret(stage: Stage, name: str, url: str) -> None:
    secret = ("create", "secret", "generic", name)
    stage.say(f"$ kubectl {' '.join(secret)} --from-literal=DATABASE_URL=postgresql://...")
    stage.ask(*secret, f"--from-literal=DATABASE_URL={url}")


def _say_how_to_look_around(stage: Stage, server: Server) -> None:
    stage.step("Look around")
    stage.say(f"export KUBECONFIG={stage.kubeconfig}")
    stage.say(f"kubectl -n {NAMESPACE} get cronjobs,jobs,pods,regionschedulers")
    stage.say(f"kubectl -n {NAMESPACE} logs --selector app.kubernetes.io/component=operator --prefix")
    stage.say(f"kubectl -n {NAMESPACE} port-forward service/region-tick-console 8080    # then http://localhost:8080")
    stage.say(f"PATH={Path(sys.executable).parent}:$PATH kubectl region list -n {NAMESPACE}")
    stage.say(f"psql {server.url(DATABASE)}")
    stage.say("make down    # stops it all")


def _execute(stage: Stage, connection: Connection, statement: LiteralString) -> None:
    stage.sql(statement)
    connection.execute(statement)


def _cronjobs(stage: Stage) -> dict[str, str]:
    """Return the schedules of the regions' CronJobs by region code."""
    items = json.loads(stage.ask("get", "cronjobs", "--selector", "app=region-tick", "--output", "json"))["items"]
    return {item["metadata"]["annotations"]["region-tick.dev/code"]: item["spec"]["schedule"] for item in items}


def _regions_that_ticked(connection: Connection) -> int:
    return len({row[0] for row in connection.execute(RUNS, (State.SUCCEEDED,))})


def _until(check: Callable[[], bool], what: str, *, seconds: float = EDIT_SECONDS) -> float:
    """Call `check` until the result is true, and return the elapsed seconds.

    Raises ClusterError naming `what` after `seconds`.
    """
    began = time.monotonic()
    while not check():
        if time.monotonic() - began > seconds:
            raise ClusterError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began
