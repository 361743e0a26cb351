"""The plugin beside the real console, in a pod, and ticks in pods: a person's questions, each with a real fault behind.

Each answer is printed, for docs/kubectl.md: pytest -s shows it.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import VERSION
from tests.cluster.plugin import Plugin, plugin_of
from tests.harness.operator_process import CHECKOUT
from tests.harness.regions import EVERY_MINUTE, ONCE_A_YEAR, add_regions
from tests.harness.waiting import eventually
from tests.node.installation import job_of, pod_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.timeout(900)

CONSOLE = str(CHECKOUT / "manifests/console")


@pytest.fixture
def plugin(running: Kubectl, database: psycopg.Connection[Any], node: LocalCluster, tmp_path: Path) -> Iterator[Plugin]:
    """The plugin, with the console installed and ready."""
    url = f"--from-literal=DATABASE_URL={pod_url(database, node)}"
    running("create", "secret", "generic", "region-tick-console", url)
    running("apply", "-f", CONSOLE)
    running("rollout", "status", "deployment/region-tick-console", "--timeout=110s")
    yield plugin_of(running, tmp_path)
    running("delete", "-f", CONSOLE)
    running("delete", "secret", "region-tick-console")


def show(plugin: Plugin, *arguments: str, code: int = 0) -> str:
    """Run a command, print it as a person sees it, and return its output."""
    done = plugin(*arguments)
    print(f"\n$ kubectl region {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_persons_questions(plugin: Plugin, running: Kubectl, database: psycopg.Connection[Any]) -> None:
    add_regions(database, ["FR-75"], cron=EVERY_MINUTE)
    add_regions(database, ["FR-69", "FR-13"], cron=ONCE_A_YEAR)
    add_regions(database, ["BAD"], cron="61 * * * *")
    eventually(lambda: running.cronjobs().keys() == {"FR-75", "FR-69", "FR-13"}, what="the CronJobs")
    show(plugin, "version")
    assert f"console: {VERSION}" in show(plugin, "version")

    # Why did it not tick? The image of one of its ticks is gone.
    cronjob = running.cronjobs()["FR-75"]
    minute = int(time.time()) // 60 + 1
    job = job_of(cronjob, minute)
    job["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/gone:1"
    job["spec"]["activeDeadlineSeconds"] = 20
    running("create", "-f", "-", stdin=json.dumps(job))
    missed = "SELECT count(*) FROM region_tick.job_run WHERE state = 'missed' AND reason = 'image'"
    eventually(lambda: database.execute(missed).fetchone() == (1,), what="the tick is missed", seconds=240)
    told = eventually(lambda: _explained(plugin), what="the console has seen it", seconds=30)
    assert "missed (image)" in told
    show(plugin, "why", "FR-75")
    assert "missed" in show(plugin, "runs", "FR-75", "--state", "missed")
    assert json.loads(show(plugin, "runs", "FR-75", "-o", "json"))["kind"] == "TickList"

    # Who changed it? Somebody paused it.
    show(plugin, "pause", "--all-matching", "FR-[16]*", "--reason", "the upstream moves house", "--until", "2h", "-y")
    region = eventually(lambda: _paused(plugin, "FR-69"), what="the console knows of the pause", seconds=30)
    assert region["pause"]["reason"] == "the upstream moves house"
    assert "the upstream moves house" in show(plugin, "get", "FR-69")
    listed = show(plugin, "list")
    assert re.search(r"FR-69 +paused", listed)
    assert re.search(r"BAD +quarantined", listed)
    assert show(plugin, "list", "--state", "paused", "-o", "name").split() == ["FR-13", "FR-69"]
    assert plugin("list", "--state", "broken").stderr.startswith("error: ")
    show(plugin, "next")
    show(plugin, "next", "FR-75")
    assert "FR-69 resumed" in show(plugin, "resume", "FR-69")

    # Does it still fit?
    assert "ticks" in show(plugin, "forecast")
    assert plugin.succeeds("forecast", "-o", "svg").lstrip().startswith("<svg")

    # What is wrong?
    screen = show(plugin, "status")
    assert "BAD: quarantined" in screen
    assert "Ready=True (RegionsQuarantined)" in screen
    show(plugin, "diff")
    database.execute("UPDATE region_index SET cron_schedule = '7 7 1 1 *' WHERE code = 'BAD'")
    eventually(lambda: "BAD" in running.cronjobs(), what="it is mended")

    # How do I run it again?
    done = show(plugin, "trigger", "BAD", "--logs")
    assert "succeeded" in done
    assert '"event": "claimed"' in done or '"event":"claimed"' in done
    assert "claimed" in show(plugin, "logs", "BAD")
    show(plugin, "doctor")
    unknown = plugin("get", "NOWHERE")
    assert (unknown.returncode, "NOWHERE" in unknown.stderr, "what to do:" in unknown.stderr) == (1, True, True)


def _explained(plugin: Plugin) -> str:
    done = plugin("why", "FR-75")
    return done.stdout if "missed" in done.stdout else ""


def _paused(plugin: Plugin, code: str) -> dict[str, Any] | None:
    region: dict[str, Any] = json.loads(plugin.succeeds("get", code, "-o", "json"))
    return region if region["pause"] else None
