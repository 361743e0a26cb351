"""The plugin beside the real console, in a pod, and ticks in pods: a person's questions, each with a real fault behind.

The person has the rights of manifests/people and no others. In the end, what this person and the console asked the API
server for is compared with their Roles. Each answer is printed, for docs/kubectl.md: pytest -s shows it.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from lxml import html

from region_tick.contract import VERSION
from tests.cluster.plugin import LOOK_AND_ACT, person
from tests.harness.kubectl import Kubectl
from tests.harness.rbac import Right, asked, granted_by, unused
from tests.harness.reading import connection
from tests.harness.regions import EVERY_MINUTE, ONCE_A_YEAR, add_regions
from tests.harness.ticks import SOURCE
from tests.harness.waiting import eventually
from tests.node.installation import CONSOLE, MANIFESTS, NAMESPACE, connect, job_of, listen_for_pods

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    import psycopg

    from devcluster.local import LocalCluster
    from devcluster.postgres import Postgres
    from tests.cluster.plugin import Plugin

pytestmark = pytest.mark.timeout(900)

ANA = "ana"
PROXY = f"/api/v1/namespaces/{NAMESPACE}/services/http:{CONSOLE}:http/proxy/"
PAGES = ("", "regions", "ledger", "next", "plan", "forecast", "regions/FR-75/ticks")
SPEC = {"refreshInterval": "2s", "concurrency": 2, "tick": {"retries": 0}}
GONE_IMAGE = "registry.example.com/gone:1"

SELDOM = {Right("controllerrevisions.apps", "list"): "for the plan, while spec.tick is refused: planning.py"}
"""What this story cannot make the console ask for."""


@pytest.fixture
def ana(console: Kubectl, tmp_path: Path) -> Iterator[Plugin]:
    """The plugin of a person who may look and act."""
    yield person(console, tmp_path, ANA, *LOOK_AND_ACT)
    console("delete", "serviceaccount", ANA)
    console("delete", "rolebindings", *(f"{ANA}-{role}" for role in LOOK_AND_ACT))
    console("delete", "-f", str(MANIFESTS / "people"))


def test_a_persons_questions(
    ana: Plugin, running: Kubectl, database: psycopg.Connection[Any], server: Postgres, node: LocalCluster
) -> None:
    since = node.audit_log.stat().st_size
    running("patch", "regionscheduler", "default", "--type=merge", "--patch", json.dumps({"spec": SPEC}))
    eventually(lambda: 2 < time.time() % 60 < 15, what="three quarters of a minute are left", seconds=120)
    add_regions(database, ["FR-75", "FR-33", "FR-31"], cron=EVERY_MINUTE)
    add_regions(database, ["FR-69", "FR-13"], cron=ONCE_A_YEAR)
    add_regions(database, ["BAD"], cron="61 * * * *")
    eventually(lambda: len(running.cronjobs()) == 5, what="the CronJobs")
    known = "SELECT FROM region_tick.region_schedule"
    eventually(lambda: database.execute(known).rowcount >= 5, what="the ledger knows of them")
    assert f"console: {VERSION}" in show(ana, "version")
    minute = cause_faults(ana, running, server, node)
    with connect(server) as again:
        ask_why_it_did_not_tick(ana, again, minute)
        running("patch", "regionscheduler", "default", "--type=merge", "--patch", '{"spec": {"concurrency": 4}}')
        ask_who_changed_it(ana)
        ask_whether_it_fits_and_what_is_wrong(ana)
        ask_what_a_suspension_skipped(ana, again)
        again.execute("UPDATE region_index SET cron_schedule = '7 7 1 1 *' WHERE code = 'BAD'")
    eventually(lambda: "BAD" in running.cronjobs(), what="it is mended")
    run_it_again(ana)
    show(ana, "doctor")
    unknown = ana("get", "NOWHERE")
    assert (unknown.returncode, "NOWHERE" in unknown.stderr, "what to do:" in unknown.stderr) == (1, True, True)
    look_and_act_by_hand(Kubectl(ana.kubeconfig, NAMESPACE))
    for page in PAGES:
        assert open_page(ana, page)[0] == 200
    expect_rights(node, CONSOLE, since, granted_by("console/rbac.yaml"), seldom=SELDOM.keys())
    expect_rights(node, ANA, since, granted_by("people/clusterroles.yaml", *LOOK_AND_ACT))


def cause_faults(ana: Plugin, kubectl: Kubectl, server: Postgres, node: LocalCluster) -> int:
    """Let a minute come in which FR-75 has no image, FR-31 no database, and FR-33 finds both slots taken by those.

    Return the minute, since 1970. Questions that are asked while the database is away are answered here.
    """
    minute = int(time.time()) // 60 + 1
    start(kubectl, "FR-75", minute, seconds=60, image=GONE_IMAGE)
    eventually(lambda: has_pod(kubectl, "FR-75"), what="the pod without an image")
    server.stop()
    start(kubectl, "FR-31", minute, seconds=120)
    eventually(lambda: has_pod(kubectl, "FR-31"), what="the pod that waits for the database")
    start(kubectl, "FR-33", minute, seconds=10)
    eventually(lambda: kubectl.ready()["reason"] == "DatabaseUnavailable", what="the operator says so")
    away = "without the console: the database cannot be reached"
    eventually(lambda: away in ana("status").stderr, what="the console remembers no overview of before")
    screen = show(ana, "status")
    assert "what to do: bring Postgres back" in screen
    assert "Ready=False (DatabaseUnavailable), the database cannot be reached: connection" in screen
    refused = show(ana, "why", "FR-75", code=1)
    assert "error: the database cannot be reached" in refused
    assert "what to do: bring Postgres back" in refused
    for path in ("", "regions/FR-75"):
        status, page = open_page(ana, path)
        assert (status, page.startswith("No answer from the database")) == (503, True)
        assert "bring Postgres back" in page
    eventually(lambda: has_failed(kubectl, "FR-33"), what="the tick without a slot is given up")
    eventually(lambda: time.time() > 60 * minute + 1, what="their minute", seconds=60)
    listen_for_pods(server, node)
    eventually(lambda: kubectl.ready()["status"] == "True", what="the operator is back", seconds=60)
    return minute


def ask_why_it_did_not_tick(ana: Plugin, database: psycopg.Connection[Any], minute: int) -> None:
    of_minute = (
        "SELECT region_code, state, reason FROM region_tick.job_run"
        " WHERE tick_at = to_timestamp(%s) AND state NOT IN ('running', 'interrupted') ORDER BY 1"
    )
    rows = [("FR-31", "succeeded", "ok"), ("FR-33", "skipped", "capacity"), ("FR-75", "missed", "image")]
    found = lambda: database.execute(of_minute, (60 * minute,)).fetchall() == rows  # noqa: E731
    eventually(found, what="every tick of that minute has its row", seconds=240)
    assert GONE_IMAGE in why(ana, "FR-75", "missed (image)")
    told = why(ana, "FR-33", "skipped (capacity)")
    assert "exceeded quota" in told
    assert "kubectl region forecast" in told
    late = show(ana, "why", "FR-31", time.strftime("%H:%M", time.gmtime(60 * minute)))
    seconds = re.search(r"claimed the tick, ([\d.]+) s after its minute", late)
    assert seconds
    assert float(seconds[1]) > 1, "it waited for the database"
    assert "missed" in show(ana, "runs", "FR-75", "--state", "missed")
    assert json.loads(show(ana, "runs", "FR-75", "-o", "json"))["kind"] == "TickList"


def ask_who_changed_it(ana: Plugin) -> None:
    """Somebody paused it."""
    reason = "the upstream moves house"
    show(ana, "pause", "--all-matching", "FR-[16]*", "--reason", reason, "--until", "2h", "-y")
    paused = lambda: json.loads(ana.succeeds("get", "FR-69", "-o", "json"))["pause"]  # noqa: E731
    assert eventually(paused, what="the console knows of the pause", seconds=30)["reason"] == reason
    assert reason in show(ana, "get", "FR-69")
    assert reason in open_page(ana, "regions/FR-69")[1]
    listed = show(ana, "list")
    assert re.search(r"FR-69 +paused", listed)
    assert re.search(r"BAD +quarantined", listed)
    assert show(ana, "list", "--state", "paused", "-o", "name").split() == ["FR-13", "FR-69"]
    assert ana("list", "--state", "broken").stderr.startswith("error: ")
    show(ana, "next")
    show(ana, "next", "FR-75")
    assert "FR-69 resumed" in show(ana, "resume", "FR-69")


def ask_whether_it_fits_and_what_is_wrong(ana: Plugin) -> None:
    """A schedule is spoiled."""
    assert "ticks" in show(ana, "forecast")
    assert ana.succeeds("forecast", "-o", "svg").lstrip().startswith("<svg")
    screen = show(ana, "status")
    assert "BAD: quarantined" in screen
    assert "Ready=True (RegionsQuarantined)" in screen
    assert "61 * * * *" in open_page(ana, "")[1]
    show(ana, "diff")


def ask_what_a_suspension_skipped(ana: Plugin, database: psycopg.Connection[Any]) -> None:
    """FR-13 was suspended for half an hour while it had another schedule."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    end = begin + timedelta(minutes=30)
    database.execute(
        "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, suspended_by,"
        " first_tick_at, last_tick_at, ticks, counted_until) SELECT %s, id::text, %s, code, '*/10 * * * *',"
        " 'spec.suspend', %s, %s, 4, %s FROM region_index WHERE code = 'FR-13'",
        (SOURCE, begin, begin, end, end),
    )
    plan = show(ana, "backfill", "FR-13", "--from", "3h", "--state", "suspended", "--dry-run")
    assert re.findall(r"T\d\d:(\d\d):00Z +skipped +suspended", plan) == ["30", "20", "10", "00"]


def run_it_again(ana: Plugin) -> None:
    done = show(ana, "trigger", "BAD", "--logs")
    assert "succeeded" in done
    assert '"event": "claimed"' in done or '"event":"claimed"' in done
    assert "claimed" in show(ana, "logs", "BAD")


def look_and_act_by_hand(kubectl: Kubectl) -> None:
    """Ask with kubectl itself for what the pages of docs name beside the plugin: get, wait, a watch, spec.suspend."""
    for resource in ("regionschedulers", "cronjobs", "jobs", "pods"):
        first, *_ = kubectl("get", resource, "--output", "name").split()
        kubectl("get", first)
    for resource in ("regionschedulers", "cronjobs", "jobs", "pods", "events"):
        kubectl("get", resource)
        kubectl.fails("get", resource, "--watch", "--request-timeout=1s")
    for suspended in ("true", "false"):
        patch = f'{{"spec": {{"suspend": {suspended}}}}}'
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", patch)
    kubectl("wait", "rsched/default", "--for=condition=Ready", "--timeout=60s")


def expect_rights(
    node: LocalCluster, account: str, since: int, rights: set[Right], *, seldom: Collection[Right] = ()
) -> None:
    """Expect that a ServiceAccount asked for nothing that is refused, and for all that a Role of the manifests lets."""
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    answers = set(asked(node.audit_log, user, since=since))
    assert {str(right) for allowed, right in answers if not allowed} == set()
    used = [right for _, right in answers]
    assert sorted(map(str, unused(rights, used) - set(seldom))) == []


def show(plugin: Plugin, *arguments: str, code: int = 0) -> str:
    """Run a command, print it as a person sees it, and return what it says."""
    done = plugin(*arguments)
    print(f"\n$ kubectl region {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def why(plugin: Plugin, code: str, words: str) -> str:
    """Ask why, when the console has seen what `words` say. Its page and its JSON must say what the plugin says."""
    eventually(lambda: words in plugin("why", code).stdout, what=f"{code} is {words}", seconds=30)
    told = show(plugin, "why", code)
    tick = json.loads(plugin.succeeds("why", code, "-o", "json"))
    status, page = open_page(plugin, f"regions/{code}/ticks/{tick['tickAt']}")
    assert status == 200
    for text in (tick["summary"][1:], tick["remedy"], *(step["text"] for step in tick["chain"])):
        assert text in told
        assert " ".join(text.replace("`", "").split()) in page, "a page shows a command without its backticks"
    return told


def open_page(plugin: Plugin, path: str) -> tuple[int, str]:
    """Return the status and the text of a page of the console, as a browser behind the API server's proxy gets it."""
    pool, headers = connection(plugin.kubeconfig.read_text())
    answer = pool.request("GET", PROXY + path, headers=headers | {"Accept": "text/html"}, timeout=30, retries=False)
    [main] = html.document_fromstring(answer.data).xpath("//main")
    return answer.status, " ".join(main.text_content().split())


def start(kubectl: Kubectl, code: str, minute: int, *, seconds: int, image: str | None = None) -> None:
    """Make a region's Job of a minute ahead of the controller: it may take so long, perhaps with another image."""
    job = job_of(kubectl.cronjobs()[code], minute)
    job["spec"]["activeDeadlineSeconds"] = seconds
    if image:
        job["spec"]["template"]["spec"]["containers"][0]["image"] = image
    kubectl("create", "-f", "-", stdin=json.dumps(job))


def status_of(kubectl: Kubectl, code: str) -> dict[str, Any]:
    """Return the status of a region's only Job."""
    cronjob = kubectl.cronjobs()[code]["metadata"]["name"]
    [job] = [item for item in kubectl.get("jobs")["items"] if item["metadata"]["name"].startswith(f"{cronjob}-")]
    return dict(job.get("status", {}))


def has_pod(kubectl: Kubectl, code: str) -> bool:
    return bool(status_of(kubectl, code).get("active"))


def has_failed(kubectl: Kubectl, code: str) -> bool:
    return "Failed" in [condition["type"] for condition in status_of(kubectl, code).get("conditions", [])]
