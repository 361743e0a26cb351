"""Measures what ticks and their leftovers cost a real Argo CD, by the settings that may make it less.

The control plane, the operator, the Postgres and Argo CD are real; pods are simulated (`simulated_kubelet`). Argo CD
follows the example of `examples/gitops` by one Application, and starts anew for each case.

- `ticking`: regions that tick every minute, for some minutes.
- `standing`: regions that do not tick, each with a Job and a pod that have ended, for a minute.

Reconciliations are by Argo CD's own metric; processor time and the most memory are the application controller's. A
refresh is what a person asks for by the button of the user interface; its time is the mean of five.

    .venv/bin/python -m benchmarks.argocd ticking [REGIONS [MINUTES]]       (default: 200 3)
    .venv/bin/python -m benchmarks.argocd standing [REGIONS ...]            (default: 1000 3000)
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.argocd_ground import FILL_SECONDS, NAMESPACE, PATH, Ground, ground
from benchmarks.finished_jobs import finish_one_tick_each
from benchmarks.operator_under_test import cpu_seconds, peak_megabytes, wait_until
from benchmarks.simulated_kubelet import running_kubelet
from tests.harness.argocd import argocd, documented_exclusions, excluding
from tests.harness.argocd_application import Application
from tests.harness.argocd_tree import read_tree
from tests.harness.regions import EVERY_MINUTE, ONCE_A_YEAR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.harness.argocd import ArgoCd
    from tests.harness.repository import Repository

NAME = "region-tick"
REFRESHES = 5
SETTLE_SECONDS = 30
RECONCILED = "argocd_app_reconcile_count"
STANDING_SECONDS = 60
OFF = "resource.ignoreResourceUpdatesEnabled"
IGNORE = "resource.customizations.ignoreResourceUpdates."
JOBS_AND_PODS = "- {apiGroups: [batch], kinds: [Job]}\n- {apiGroups: [''], kinds: [Pod]}\n"
WHOLE = "- /metadata\n- /spec\n- /status"
ANNOTATED = {"annotations": {"argocd.argoproj.io/ignore-resource-updates": "true"}}


@dataclass(frozen=True, slots=True)
class Case:
    """What is tried: settings of argocd-cm, what its list of exclusions has besides, a spec of the RegionScheduler."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    exclusions: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)


AS_SHIPPED = Case("as Argo CD 3.2 is shipped")
WITHOUT_JOBS = Case("Jobs and pods excluded", exclusions=JOBS_AND_PODS)
WITHOUT_ALL = Case("CronJobs, Jobs and pods excluded", exclusions=documented_exclusions())
ORPHANS = Case("deletionPolicy: Orphan", spec={"deletionPolicy": "Orphan"})
TICKING = (
    Case(f"{OFF}: false", {OFF: "false"}),
    AS_SHIPPED,
    Case(
        "ignoreResourceUpdates of the three kinds",
        {f"{IGNORE}{kind}": f"jsonPointers:\n{WHOLE}" for kind in ("batch_CronJob", "batch_Job", "Pod")},
    ),
    Case("annotation on Jobs and pods", spec={"tick": {"jobMetadata": ANNOTATED, "podMetadata": ANNOTATED}}),
    WITHOUT_JOBS,
    WITHOUT_ALL,
    ORPHANS,
)
STANDING = (AS_SHIPPED, WITHOUT_JOBS, WITHOUT_ALL, ORPHANS)
NONE_OF_THEM = dict.fromkeys({key for case in TICKING for key in case.settings})


def main() -> int:
    """Measure and print."""
    kind, *numbers = sys.argv[1:]
    if kind == "ticking":
        regions, minutes = (int(text) for text in [*numbers, *("200", "3")[len(numbers) :]])
        with ground() as place:
            show(f"{regions} REGIONS OF EVERY MINUTE, {minutes} MIN", asyncio.run(ticking(place, regions, minutes)))
    elif kind == "standing":
        for regions in [int(text) for text in numbers] or [1000, 3000]:
            with ground() as place:
                show(f"{regions} REGIONS, EACH WITH A JOB AND A POD", standing(place, regions))
    else:
        raise SystemExit(f"{kind!r}: ticking or standing")
    return 0


async def ticking(place: Ground, regions: int, minutes: int) -> list[list[str]]:
    """Measure the cases while all regions tick."""
    await asyncio.to_thread(place.fill, regions, EVERY_MINUTE)
    async with running_kubelet(NAMESPACE, place.url):
        return [await asyncio.to_thread(measure, place, case, 60 * minutes) for case in TICKING]


def standing(place: Ground, regions: int) -> list[list[str]]:
    """Measure the cases beside ticks that have ended."""
    place.fill(regions, ONCE_A_YEAR)
    asyncio.run(finish_one_tick_each(NAMESPACE))
    return [measure(place, case, STANDING_SECONDS) for case in STANDING]


def measure(place: Ground, case: Case, seconds: float) -> list[str]:
    """Measure a case from a full minute on, after SETTLE_SECONDS and more. Return a row of the table."""
    commit = place.commit(case.name, case.spec)
    folder = place.folder / str(len(list(place.folder.iterdir())))
    settings = {**NONE_OF_THEM, **case.settings, **excluding(case.exclusions)}
    with argocd(place.kubectl.kubeconfig, folder, settings) as argo:
        application = application_of(argo, place.repository)
        application.will_have_synced(commit, seconds=300)
        wait_until(place.follows, seconds=FILL_SECONDS)
        time.sleep(SETTLE_SECONDS + 60 - (time.time() + SETTLE_SECONDS) % 60)
        controller = pid_of_controller(argo)
        began, before = time.monotonic(), (place.ticks(), argo.metric(RECONCILED), cpu_seconds(controller))
        time.sleep(seconds)
        after = (place.ticks(), argo.metric(RECONCILED), cpu_seconds(controller))
        minutes = (time.monotonic() - began) / 60
        ticks, reconciled, cpu = ((new - old) / minutes for new, old in zip(after, before, strict=True))
        refresh, tree = seconds_of_a_refresh(argo, application), read_tree(argo, NAME)
        row = [
            *(f"{ticks:.0f}", f"{reconciled:.0f}", f"{1000 * cpu / 60:.0f}", f"{refresh:.2f} s"),
            *(f"{peak_megabytes(controller):.0f} MB", f"{tree.nodes}", f"{tree.json_bytes / 1e3:.0f} kB"),
            *(f"{tree.stored_bytes / 1e3:.0f} kB", f"{application.sync}, {application.health}"),
        ]
        Console(stderr=True, width=200).print(case.name, row)
        return [case.name, *row]


def application_of(argo: ArgoCd, repository: Repository) -> Application:
    """Return the Application, and create it if there is none."""
    if argo.kubectl("get", "applications.argoproj.io", NAME, "--ignore-not-found"):
        application = Application(argo, repository, NAME)
        application.refresh()
        return application
    return Application.create(argo, repository, NAME, path=PATH, namespace=NAMESPACE)


def pid_of_controller(argo: ArgoCd) -> int:
    """Return the process of the application controller, which alone was started with the port of its metrics."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            words = file.read_bytes().split(b"\0")
            if f"--metrics-port={argo.metrics}".encode() in words and words[0] != b"sh":
                return int(file.parent.name)
    raise RuntimeError("Argo CD's application controller does not run")


def seconds_of_a_refresh(argo: ArgoCd, application: Application) -> float:
    """Return how long Argo CD takes for a refresh, by its own metric."""
    names = ("argocd_app_reconcile_sum", RECONCILED)
    before = [argo.metric(name) for name in names]
    for _ in range(REFRESHES):
        at = application.status["reconciledAt"]
        time.sleep(1)  # the time has whole seconds
        application.refresh()
        wait_until(lambda: application.status["reconciledAt"] > at)  # noqa: B023 - at once
    total, count = (argo.metric(name) - was for name, was in zip(names, before, strict=True))
    return total / count


def show(title: str, rows: list[list[str]]) -> None:
    """Print the table."""
    columns = (
        "",
        "TICKS/MIN",
        "RECONCILIATIONS/MIN",
        "mCPU",
        "REFRESH",
        "MEMORY",
        "NODES",
        "JSON",
        "IN REDIS",
        "APPLICATION",
    )
    table = Table(*columns, title=title, box=None, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=200).print(table)


if __name__ == "__main__":
    sys.exit(main())
