"""A real Prometheus and Alertmanager beside a real operator and worker: what is installed works as a whole.

The rules are those that are installed, but without the times that an alert waits before it fires.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from devcluster.ports import free_port
from docs.monitoring.alerts import ALERTS
from docs.monitoring.expressions import RECORDS
from docs.monitoring.panels import ROWS
from docs.monitoring.rules import rule_groups
from tests.harness.attached import attached
from tests.harness.prometheus import Server, promtool, run_alertmanager, run_prometheus
from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess
    from tests.harness.upstream import Asked, Upstream

ENDED = """
INSERT INTO region_tick.job_run
    (source, region_id, tick_at, region_code, cron, state, reason, started_at, finished_at)
SELECT 'public.region_index', number::text, date_trunc('minute', now()), 'x', '', state, reason, now(), now()
FROM generate_series(1, 5) AS number,
    (VALUES ('succeeded', 'ok'), ('failed', 'timeout'), ('missed', 'no node')) AS ended (state, reason)
WHERE (number <= 3) = (state = 'succeeded') AND (number = 4) = (state = 'failed')
"""
LATE = "UPDATE region_tick.region_schedule SET valid_from = valid_from - interval '1 hour' WHERE code = 'R3'"
SPOILED = "INSERT INTO region_index (code, name, cron_schedule) VALUES ('bad', 'Bad', 'whenever')"


class Webhook:
    """What Alertmanager and the heartbeat send."""

    def __init__(self, server: Upstream) -> None:
        self._server = server
        self.alerts_url = server.on("/alerts", _take)
        self.heartbeat_url = server.on("/heartbeat", _take)

    def firing(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that have come, by name."""
        bodies = [json.loads(asked.body) for asked in self._server.asked if asked.path == "/alerts"]
        return {alert["labels"]["alertname"]: alert for body in bodies for alert in body["alerts"]}

    @property
    def heartbeats(self) -> int:
        return self._server.paths().count("/heartbeat")


def _take(asked: Asked) -> None:
    asked.answer(200)


@contextmanager
def run_worker(folder: Path, database: str) -> Iterator[str]:
    """Run a worker of the queue; give its address."""
    port = free_port()
    environment = {"DATABASE_URL": database, "HEALTH_PORT": str(port)}
    with attached([sys.executable, "-m", "region_worker"], log=folder / "worker.log", environment=environment):
        yield f"127.0.0.1:{port}"


def execute(database: str, *statements: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def port_of(operator: OperatorProcess) -> int:
    started = eventually(lambda: operator.logged("starting"), what="the operator says its health port")
    port: int = started[0]["health_port"]
    return port


def make_history(run_operator: RunOperator, kubectl: Kubectl, database: str) -> None:
    """Have an operator make three CronJobs; then ticks end, one region has been late for an hour, and a row is bad."""
    add_regions(database, 3, cron=EVERY_MINUTE)
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="three CronJobs")
        eventually(lambda: operator.metric("region_operator_ticking_regions") == 3, what="the versions are saved")
        assert operator.stop() == 0
    execute(database, ENDED, LATE, SPOILED)


def at_once(groups: dict[str, Any]) -> dict[str, Any]:
    """Return the rules without the times that they wait."""
    for group in groups["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)
    return groups


def filled(expr: str) -> str:
    """Return a panel's expression as Grafana sends it."""
    return expr.replace("$__rate_interval", "1m").replace("$namespace", "region-tick")


MAY_BE_EMPTY = {
    "Errors of API server and database",  # there need not be any
    "Succeeded, last hour",  # ticks are counted once a minute, perhaps not while this test looks on
}


def panels() -> Iterator[tuple[str, str]]:
    for row in ROWS:
        for panel in row.panels:
            for query in panel.queries:
                yield panel.title, filled(query.expr)


@pytest.mark.timeout(240)
def test_what_is_installed_works_as_a_whole(
    run_operator: RunOperator, kubectl: Kubectl, database: str, server: Upstream, tmp_path: Path
) -> None:
    make_history(run_operator, kubectl, database)
    webhook = Webhook(server)
    with (
        run_operator(HEARTBEAT_URL=webhook.heartbeat_url, REGION_REFRESH_INTERVAL_MS="1000") as operator,
        run_worker(tmp_path, database) as worker,
        run_alertmanager(tmp_path, webhook=webhook.alerts_url) as alertmanager,
        run_prometheus(
            tmp_path,
            targets={f"127.0.0.1:{port_of(operator)}": "operator", worker: "worker"},
            rules=at_once(rule_groups()),
            alertmanager=alertmanager,
        ) as prometheus,
    ):
        alert = eventually(
            lambda: webhook.firing().get("RegionTickQuarantined"), what="the alert is in the webhook", seconds=60
        )
        assert alert["status"] == "firing"
        assert alert["labels"]["severity"] == "warning"
        assert alert["annotations"]["description"].startswith("1 rows are quarantined")
        assert alert["annotations"]["runbook_url"].endswith("/docs/runbooks/RegionTickQuarantined.md")

        eventually(lambda: webhook.heartbeats > 1, what="the heartbeat is heard")
        assert operator.metric("region_operator_heartbeats_total", result="sent") >= 1

        for record in RECORDS:
            eventually(partial(prometheus.rows, record.name), what=f"{record.name} is recorded")
        for alert_rule in ALERTS:
            prometheus.rows(alert_rule.expr)
        with suppress(AssertionError):
            eventually(lambda: not empty_panels(prometheus), what="panels have rows", seconds=60)
        assert empty_panels(prometheus) == []
        [late] = prometheus.rows('region_operator_region_intervals_late{region="R3"}')
        assert float(late["value"][1]) >= 60

        assert_the_metrics_are_clean(port_of(operator), worker)


def empty_panels(prometheus: Server) -> list[str]:
    """Return the titles of the panels without rows. Raises AssertionError for an expression that is refused."""
    found = {(title, expr): prometheus.rows(expr) for title, expr in panels()}
    return [title for (title, _), rows in found.items() if not rows and title not in MAY_BE_EMPTY]


def assert_the_metrics_are_clean(port: int, worker: str) -> None:
    """Have promtool look at what operator and worker serve."""
    for address in (f"127.0.0.1:{port}", worker):
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            done = promtool("check", "metrics", stdin=answer.read().decode())
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), address
