"""Real clients on a real control plane: how soon an edit of each shows in a CronJob."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.clients.clients import CLIENTS
from tests.clients.edits import Act, Edit
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clients.edits import Client
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl

SHOWN_WITHIN_SECONDS = 5
"""On a machine that runs other tests too. docs/operations.md says what was measured on a quiet one."""

HOURLY = {"name": "Région", "cron_schedule": "0 * * * *"}
DAILY = {"cron_schedule": "0 0 * * *"}
WEEKLY = {"name": "Région", "cron_schedule": "0 0 * * 0"}
EVERY_ROW = tuple(f"R{number}" for number in range(20))
EDITS: tuple[tuple[Edit, dict[str, str]], ...] = (
    (Edit(Act.CREATE, EVERY_ROW, HOURLY), dict.fromkeys(EVERY_ROW, "0 * * * *")),
    (Edit(Act.UPDATE, ("R1",), DAILY), {"R1": "0 0 * * *"}),
    (Edit(Act.UPDATE_MANY, ("R2", "R3"), DAILY), {"R2": "0 0 * * *", "R3": "0 0 * * *"}),
    (Edit(Act.UPSERT, ("R1",), WEEKLY), {"R1": "0 0 * * 0"}),
    (Edit(Act.UPSERT, ("NEW",), WEEKLY), {"NEW": "0 0 * * 0"}),
    (Edit(Act.UPDATE, ("NEW",), {"code": "NEWER"}), {"NEW": "", "NEWER": "0 0 * * 0"}),
    (Edit(Act.ROLL_BACK, ("R4",), DAILY), {}),
    (Edit(Act.DELETE, ("R5",)), {"R5": "", "R4": "0 * * * *"}),
)
"""Each edit, and schedules after it by code: an empty one where no CronJob is left."""


@pytest.mark.alone
@pytest.mark.parametrize("name", CLIENTS)
def test_an_edit_shows_in_its_cronjob(
    run_operator: RunOperator,
    kubectl: Kubectl,
    database: str,
    sql: Callable[[str], None],
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sql("ALTER TABLE region_index ADD handler text")
    with run_operator(), CLIENTS[name](database) as client:
        eventually(lambda: kubectl.ready().get("status") == "True", what="an empty table is in sync")
        seconds = [(edit.act, _seconds_until(kubectl, client, edit, schedules)) for edit, schedules in EDITS]
        assert kubectl.ready()["reason"] == "InSync"
    with capsys.disabled():
        shown = ", ".join(f"{act} {after:.2f}" for act, after in seconds if act is not Act.ROLL_BACK)
        print(f"{name}, seconds until an edit shows: {shown}")


def _seconds_until(kubectl: Kubectl, client: Client, edit: Edit, schedules: dict[str, str]) -> float:
    """Return how long after the client's answer the CronJobs have these schedules."""
    client(edit)
    answered = time.monotonic()

    def shown() -> bool:
        cronjobs = kubectl.cronjobs()
        found = {code: cronjobs[code]["spec"]["schedule"] if code in cronjobs else "" for code in schedules}
        return found == schedules

    eventually(shown, what=f"{edit.act} shows", seconds=SHOWN_WITHIN_SECONDS)
    return time.monotonic() - answered
