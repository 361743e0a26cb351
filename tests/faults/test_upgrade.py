"""An installation that goes to today's release, and back where that is promised, while its regions tick.

Each release has its own operator, tick and CRD. The CRD comes first, as docs/release.md says; before that, today's
operator works on the earlier CRD, and afterwards the earlier operator on today's. 500 CronJobs stand, some of which
tick.
"""

from __future__ import annotations

import os
import secrets
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from devcluster import start_local
from tests.faults.standin import StandInKubelet
from tests.harness.audit import audit_lines
from tests.harness.earlier_release import FIRST, EarlierRelease
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT, OperatorProcess
from tests.harness.regions import EVERY_MINUTE, add_regions, numbered
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster

EARLIER = "e5a432146d6303a3001208a8ac6fc9fc87255b55"
"""A commit that goes on beside a newer schema: from here on there is a way back."""
REGIONS = 500
TICKING = 4
MINUTE = timedelta(minutes=1)
BEGINNING = datetime.min.replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A control plane whose CRD belongs to the tests of this file."""
    with start_local(f"upgrade-{os.getpid()}", node=False) as cluster:
        Kubectl(cluster.kubeconfig, "default")("apply", "-f", str(CHECKOUT / "manifests/20-priorityclass.yaml"))
        yield cluster


class Installation:
    """A namespace and a database, in which one release after the other runs."""

    def __init__(self, cluster: LocalCluster, earlier: EarlierRelease, database: str, folder: Path) -> None:
        self.cluster, self.earlier, self.database, self._folder = cluster, earlier, database, folder
        namespace = f"t-{secrets.token_hex(4)}"
        Kubectl(cluster.kubeconfig, "default")("create", "namespace", namespace)
        self.kubectl = Kubectl(cluster.kubeconfig, namespace)
        self._edits = 0

    def install_crd(self, release: Path) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(release / "crds"))

    @contextmanager
    def running(self, image: str) -> Iterator[None]:
        """Run the release of a tick image until all CronJobs are of that release, and an edit shows."""
        environment = {"KUBECONFIG": str(self.kubectl.kubeconfig), "POD_NAMESPACE": self.kubectl.namespace}
        environment |= {"DATABASE_URL": self.database, "TICK_IMAGE": image}
        operator: AbstractContextManager[Any]
        if image == "today":
            operator = OperatorProcess(self._folder / f"today-{secrets.token_hex(4)}.log", environment)
        else:
            operator = self.earlier.run_operator(environment)
        with operator:
            yield
            if isinstance(operator, OperatorProcess):
                assert operator.stop() == 0, operator.lines[-5:]

    def edit(self) -> None:
        """Change a region's name, and wait until the CronJob has the name."""
        self._edits += 1
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("UPDATE region_index SET name = %s WHERE code = 'edited'", [str(self._edits)])
        eventually(
            lambda: (
                self.kubectl.cronjobs()["edited"]["metadata"]["annotations"]["region-tick.dev/name"] == str(self._edits)
            ),
            what="the edit shows",
            seconds=60,
        )

    def follow(self, image: str) -> None:
        """Wait until every CronJob is of one release."""

        def images() -> list[str]:
            return [
                cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
                for cronjob in self.kubectl.cronjobs().values()
            ]

        eventually(lambda: images() == [image] * (REGIONS + 1), what=f"all of {image}", seconds=120)

    @contextmanager
    def each_written_once(self) -> Iterator[None]:
        """Check that the block writes every CronJob once, and deletes none. The edited one is written once more."""
        mark = self.cluster.audit_log.stat().st_size
        yield
        lines = [
            line
            for line in audit_lines(self.cluster, self.kubectl.namespace, since=mark)
            if line["objectRef"].get("resource") == "cronjobs" and "subresource" not in line["objectRef"]
        ]
        assert [line["verb"] for line in lines if line["verb"] not in ("create", "patch", "update")] == []
        writes: dict[str, int] = {}
        for line in lines:
            writes[line["objectRef"]["name"]] = writes.get(line["objectRef"]["name"], 0) + 1
        assert len(writes) == REGIONS + 1
        assert sorted(writes.values())[-2:] == [1, 2], sorted(writes.values())[-5:]


@pytest.fixture
def installation(
    request: pytest.FixtureRequest, cluster: LocalCluster, empty_database: str, tmp_path: Path
) -> Iterator[Installation]:
    """Regions whose CronJobs an earlier release has made, and ticks that run in stand-in pods."""
    earlier = EarlierRelease.of(request.param, tmp_path / "earlier")
    installation = Installation(cluster, earlier, empty_database, tmp_path)
    installation.install_crd(earlier.folder)
    trees = {"earlier": earlier.environment, "today": {}}
    with ExitStack() as stack:
        stack.enter_context(StandInKubelet(installation.kubectl, empty_database, trees))
        with installation.running("earlier"):
            eventually(lambda: installation.kubectl.ready().get("status") == "True", what="the first", seconds=60)
            add_regions(empty_database, numbered(1, REGIONS - TICKING))
            add_regions(empty_database, ["edited"])
            add_regions(empty_database, [f"ticking-{n}" for n in range(TICKING)], cron=EVERY_MINUTE)
            installation.follow("earlier")
            eventually(lambda: are_ticking(empty_database, since=BEGINNING), what="ticks", seconds=150)
        yield installation


def ticks(database: str) -> dict[str, list[tuple[datetime, str, int]]]:
    """Return the ticks of each region that ticks: when, how it ended, and by how many attempts."""
    with psycopg.connect(database, autocommit=True) as connection:
        found: dict[str, list[tuple[datetime, str, int]]] = {}
        for code, tick_at, state, attempt in connection.execute(
            "SELECT region_code, tick_at, state, attempt FROM region_tick.job_run ORDER BY tick_at"
        ):
            found.setdefault(code, []).append((tick_at, state, attempt))
        return found


def are_ticking(database: str, *, since: datetime) -> bool:
    """Return whether each region that ticks has done a tick since a moment."""
    last = [runs[-1] for runs in ticks(database).values()]
    return len(last) == TICKING and all(tick_at >= since and state == "succeeded" for tick_at, state, _ in last)


def every_tick_is_done_once(database: str) -> None:
    """Check the ticks from the first to one that has yet to come."""
    begun = datetime.now(UTC)
    eventually(lambda: are_ticking(database, since=begun), what="one tick more", seconds=150)
    for runs in ticks(database).values():
        assert {(state, attempt) for _, state, attempt in runs} == {("succeeded", 1)}
        assert [at for at, _, _ in runs] == [runs[0][0] + number * MINUTE for number in range(len(runs))]
        assert len(runs) >= 2


@pytest.mark.parametrize("installation", [FIRST], indirect=True)
def test_the_first_release_is_upgraded_while_it_ticks(installation: Installation) -> None:
    with installation.each_written_once(), installation.running("today"):
        installation.follow("today")
        installation.install_crd(CHECKOUT)
        installation.edit()
    every_tick_is_done_once(installation.database)


@pytest.mark.parametrize("installation", [EARLIER], indirect=True)
def test_an_upgrade_can_be_taken_back(installation: Installation) -> None:
    for image in ("today", "earlier", "today"):
        with installation.each_written_once(), installation.running(image):
            installation.follow(image)
            installation.install_crd(CHECKOUT)
            installation.edit()
    every_tick_is_done_once(installation.database)
