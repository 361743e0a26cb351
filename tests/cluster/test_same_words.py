"""One story in one set of words: kubectl's columns and `describe`, the plugin and the console, in six situations.

The operator puts everything into words once, in the status. Whoever else tells the story passes its words on.
"""

from __future__ import annotations

import asyncio
import html
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import urllib3
from click import unstyle

from devcluster.postgres import Postgres
from kubectl_region.status import overview_text
from region_operator.database.migrate import migrate
from region_tick.database_url import DatabaseUrl
from tests.cluster.plugin import plugin_of
from tests.harness.console_process import ConsoleProcess
from tests.harness.regions import ONCE_A_YEAR, add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.plugin import Plugin
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl

COLUMNS = ("get", "rsched", "--output", "wide", "--no-headers")
HOUR = min((datetime.now(UTC).hour + 12) % 24, 22)
FAR_FROM_NOW = f"0 {HOUR},{HOUR + 1} * * *"
ONE_AT_ONCE = '{"spec": {"concurrency": 1, "tick": {"startDeadline": "10s"}}}'


def conditions_of(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in kubectl.scheduler()["status"].get("conditions", [])}


def one_line(text: str) -> str:
    return " ".join(unstyle(text).split())


def page_of(console: ConsoleProcess) -> str:
    """Return the text of the console's first page."""
    pool = urllib3.PoolManager(retries=False)
    answer = pool.request("GET", f"http://127.0.0.1:{console.port}/", headers={"Accept": "text/html"}, timeout=30)
    return one_line(html.unescape(re.sub(r"<[^>]+>", " ", answer.data.decode())))


class Tellers:
    """Everybody who tells people how a RegionScheduler is."""

    def __init__(self, kubectl: Kubectl, console: ConsoleProcess, plugin: Plugin) -> None:
        self.kubectl, self.console, self.plugin = kubectl, console, plugin

    def agree(self, reason: str, *beside: str) -> dict[str, dict[str, Any]]:
        """Wait for Ready's reason, with these conditions beside it and no others. All must tell all of them."""

        def told() -> dict[str, dict[str, Any]] | None:
            found = conditions_of(self.kubectl)
            wanted = found.keys() == {"Ready", *beside} and found["Ready"]["reason"] == reason
            shown = self.console.json()
            same = {each["type"]: each["message"] for each in shown["conditions"]}
            return found if wanted and same == {kind: each["message"] for kind, each in found.items()} else None

        found = eventually(told, what=f"{reason} {beside}, also in the console", seconds=90)
        ready = found["Ready"]
        columns = self.kubectl(*COLUMNS)
        described = one_line(self.kubectl("describe", "rsched"))
        by_console = one_line("\n".join(overview_text(self.kubectl.namespace, self.console.json())))
        alone, page = one_line(self.plugin("status").stdout), page_of(self.console)
        assert f" {ready['status']} " in columns
        assert f" {reason} " in columns
        assert ready["message"] in columns
        for teller in (described, by_console, alone, page):
            assert reason in teller
            for condition in found.values():
                told_part = condition["message"].partition(": ")[2] if condition["type"].endswith("Held") else ""
                assert one_line(condition["message"]) in teller or (told_part and one_line(told_part) in teller), (
                    condition
                )
        for kind in beside:
            short = kind in columns or found[kind]["message"] in columns or "held" in columns
            assert short, f"one line of kubectl get -o wide says nothing of {kind}"
        return found


def codes_of(region_list: dict[str, Any]) -> set[str]:
    return {item["code"] for item in region_list["items"]}


def test_all_tell_one_story_in_the_same_words(
    run_operator: RunOperator, kubectl: Kubectl, operator_environment: dict[str, str], tmp_path: Path
) -> None:
    plugin = plugin_of(kubectl, tmp_path)
    with Postgres.temporary() as server:
        url = server.url()
        asyncio.run(migrate(DatabaseUrl.parse(url)))
        add_regions(url, 3, cron=ONCE_A_YEAR)

        def sql(statement: str, *values: object) -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(statement, values)

        environment = operator_environment | {"DATABASE_URL": url}
        with run_operator(DATABASE_URL=url), ConsoleProcess(tmp_path / "console.log", environment) as console:
            tellers = Tellers(kubectl, console, plugin)
            tellers.agree("InSync")
            assert "All is well" in page_of(console)

            sql("UPDATE region_index SET cron_schedule = '0 0 * * 7' WHERE code = 'R1'")
            tellers.agree("RegionsQuarantined")
            [look] = eventually(lambda: console.json()["attention"], what="the region needs a look")
            assert look["text"].partition("; it ")[0] in kubectl.ready()["message"]
            sql("UPDATE region_index SET cron_schedule = %s", ONCE_A_YEAR)
            tellers.agree("InSync")

            plugin.succeeds("pause", "R1", "--reason", "moving house")
            eventually(lambda: "1 paused" in kubectl.ready()["message"], what="the status, after the CronJob")
            assert "1 paused" in tellers.agree("InSync")["Ready"]["message"]
            eventually(
                lambda: " 1 paused" in "\n".join(overview_text("ns", console.json())), what="the plugin counts it"
            )
            plugin.succeeds("resume", "R1")

            plugin.succeeds("pause", "--all", "--until", "2h", "--reason", "new disks", "-y")
            ends = tellers.agree("Suspended", "Suspended")["Suspended"]["message"]
            assert "as spec.suspendUntil says" in ends
            assert "kubectl region resume --all" in plugin("resume", "R1").stderr
            eventually(lambda: console.json("regions/R1")["why"] == ends, what="the region's page says why")
            region = console.json("regions/R1")
            assert "spec.suspendUntil" in region["cronJob"]["suspendedBy"]
            assert "kubectl region resume --all" in region["remedy"]

            plugin.succeeds("pause", "--all", "--reason", "new disks", "-y")
            suspended = tellers.agree("Suspended", "Suspended")
            ends = "until spec.suspend is set to false, whatever spec.suspendUntil says: new disks"
            assert suspended["Ready"]["message"].endswith(ends)
            words = suspended["Suspended"]["message"]
            eventually(lambda: console.json("regions/R1")["why"] == words, what="the region's page says why")
            plugin.succeeds("resume", "--all", "-y")

            sql("UPDATE region_index SET active = false")
            tellers.agree("DeletionsHeld", "DeletionsHeld")
            sql("UPDATE region_index SET active = true WHERE code = 'R1'")
            eventually(lambda: kubectl.scheduler()["status"].get("releasedDeletions"), what="R1 is back")
            eventually(lambda: codes_of(console.json("regions?state=held")) == {"R2", "R3"}, what="the others are held")
            assert [(hold["count"], hold["regions"]) for hold in console.json()["holds"]] == [(2, ["R2", "R3"])]
            sql("UPDATE region_index SET active = true")
            tellers.agree("InSync")

            add_regions(url, [f"X{number}" for number in range(60)], cron=FAR_FROM_NOW)
            kubectl("patch", "rsched", "default", "--type=merge", "-p", ONE_AT_ONCE)
            tellers.agree("InSync", "Overcommitted")
            assert "All is well" not in page_of(console)

            server.stop()
            away = eventually(
                lambda: (found := kubectl.ready())["reason"] == "DatabaseUnavailable" and found, what="away", seconds=90
            )
            words = away["message"].partition(": ")[0]
            eventually(lambda: words in page_of(console), what="the console says it when its last look is old")

            def all_pass_on() -> bool:
                """The next attempt may fail in other words."""
                message = kubectl.ready()["message"]
                return message in plugin("status").stdout and message in kubectl(*COLUMNS)

            eventually(all_pass_on, what="the plugin and kubectl say it too")
