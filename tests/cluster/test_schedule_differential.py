"""schedule.py against Kubernetes itself: the API server judges what a schedule is, robfig/cron when it ticks."""

from __future__ import annotations

import asyncio
import calendar
import json
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException

from region_operator.kube.api import CONCURRENT_REQUESTS, Api
from region_operator.kube.connect import connect
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.schedule import Schedule, parse_schedule
from tests.cluster import cron_oracle
from tests.cluster.cron_expressions import BOUNDS, Expressions
from tests.cluster.cron_oracle import Question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from devcluster.local import LocalCluster

SEED = 20261124
EACH_HALF = 3_000


def parsed(text: str) -> Schedule | ScheduleError:
    try:
        return parse_schedule(text)
    except ScheduleError as error:
        return error


def schedules() -> list[str]:
    """Return expressions of which the first half is valid by construction and the second nearly so."""
    expressions = Expressions(SEED)
    return [expressions.valid() for _ in range(EACH_HALF)] + [expressions.nearly_valid() for _ in range(EACH_HALF)]


# What is a schedule


def has_too_large_a_step(text: str) -> bool:
    for (low, high), word in zip(BOUNDS, text.split(), strict=False):
        if any(int(step) > high - low for step in re.findall(r"/\+?(\d+)", word)):
            return True
    return False


def never_comes(text: str) -> bool:
    return cron_oracle.times([Question(text, datetime(2023, 1, 1, tzinfo=UTC), 1)]) == [[]]


REFUSED_ON_PURPOSE: dict[str, Callable[[str], object]] = {
    "an interval is not aligned to the clock": lambda text: text.startswith("@every "),
    "a step as large as the field": has_too_large_a_step,
    "a list with an empty item": lambda text: re.search(r"(^|[\s,]),|,([\s,]|$)", text),
    "only a step may follow": lambda text: re.search(r"[*?]-", text),
    "a number has no sign": lambda text: re.search(r"(^|[\s,/-])\+\d", text),
    "never comes in month": never_comes,
}
"""What is refused although Kubernetes takes it: by the words of the refusal, how to see that they are true."""


def purpose(text: str, error: ScheduleError) -> str | None:
    """Return by which of REFUSED_ON_PURPOSE a text is rightly refused."""
    return next((words for words, true in REFUSED_ON_PURPOSE.items() if words in str(error) and true(text)), None)


async def accepts(api: Api, text: str) -> bool:
    """Ask the API server whether it would create a CronJob with this schedule."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    cronjob = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "judged"},
        "spec": {"schedule": text, "timeZone": "UTC", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }
    path = "/apis/batch/v1/namespaces/default/cronjobs"
    try:
        await api.request("POST", path, query={"dryRun": "All"}, body=cronjob)
    except ApiException as refusal:
        blamed = {cause["field"] for cause in json.loads(refusal.body or "{}")["details"]["causes"]}
        if (refusal.status, blamed) != (422, {"spec.schedule"}):
            raise
        return False
    return True


async def verdicts(texts: Sequence[str]) -> dict[str, bool]:
    slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def verdict(text: str) -> bool:
        async with slots:
            return await accepts(api, text)

    async with connect("test") as api:
        return dict(zip(texts, await asyncio.gather(*map(verdict, texts)), strict=True))


async def test_the_api_server_takes_what_we_take_and_refuses_no_more_than_we_say(
    control_plane: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    ours = {text: parsed(text) for text in schedules()}
    sent = {text: schedule.source for text, schedule in ours.items() if isinstance(schedule, Schedule)}
    theirs = await verdicts(sorted({*ours, *sent.values()}))

    assert [text for text in {*sent, *sent.values()} if not theirs[text]] == [], "falsely accepted"
    refused = {text: error for text, error in ours.items() if isinstance(error, ScheduleError) and theirs[text]}
    purposes = {text: purpose(text, error) for text, error in refused.items()}
    assert {text: str(refused[text]) for text, why in purposes.items() if why is None} == {}, "falsely refused"

    assert len(ours) > 5_000
    assert len(sent) > 2_500
    assert sum(not verdict for verdict in theirs.values()) > 1_000
    assert Counter(purposes.values()).keys() == REFUSED_ON_PURPOSE.keys(), "each refusal was met"


def hashed_schedules() -> list[Schedule]:
    """Return what a few thousand codes make of every form of a hash in every field."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable is the point
    forms = [
        ["*", "H", f"H/{(high - low) // 2}", f"H({low}-{high - 2})", f"H({low}-{high - 2})/2", f"{low},H"]
        for low, high in ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
    ]
    texts = [" ".join(map(chance.choice, forms)) for _ in range(2_000)] + ["@daily H", "@weekly H", "@yearly H"]
    return [parse_schedule(text, code=f"region-{number:04}") for number, text in enumerate(texts)]


async def test_the_api_server_takes_what_hashes_are_compiled_to(
    control_plane: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    theirs = await verdicts(sorted({schedule.source for schedule in hashed_schedules()}))
    assert [text for text, verdict in theirs.items() if not verdict] == []
    assert len(theirs) > 1_000


# When it ticks

FOLLOWING = 6


def moments(count: int) -> list[datetime]:
    """Return moments, half of them in the days and seconds where calendars go wrong: 2100 is not a leap year."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable is the point
    found = []
    for _ in range(count):
        year, month = chance.choice([*range(2023, 2034), 2096, 2099, 2100, 2104]), chance.randint(1, 12)
        month = chance.choice([month, month, 2, 12])
        last = calendar.monthrange(year, month)[1]
        day = chance.choice([chance.randint(1, last), last, last - 1, 1])
        second = chance.choice([chance.randrange(86_400), 0, 86_399])
        found.append(datetime(year, month, day, tzinfo=UTC) + timedelta(seconds=second))
    return found


def test_the_controller_has_the_same_times() -> None:
    accepted = [(text, schedule) for text in schedules() if isinstance(schedule := parsed(text), Schedule)]
    accepted += [(schedule.source, schedule) for schedule in hashed_schedules()]
    after = moments(len(accepted))
    theirs = cron_oracle.times(
        [Question(text, moment, FOLLOWING) for (text, _), moment in zip(accepted, after, strict=True)]
    )
    different = {}
    for (text, schedule), moment, expected in zip(accepted, after, theirs, strict=True):
        found = [moment]
        while len(found) <= len(expected):
            found.append(schedule.next_after(found[-1]))
        if found[1:] != expected:
            different[text, moment] = (found[1:], expected)
        if len(expected) < FOLLOWING:  # robfig/cron looks no further than five years, and so over no 2100
            assert schedule.next_after(found[-1]).year - found[-1].year > 5, text
    assert different == {}
    assert sum(map(len, theirs)) > 20_000
