"""Random faults: whatever happens at once, in the end all is as the table says, and nobody did what was not asked for.

RANDOM_FAULTS_SEED, RANDOM_FAULTS_MINUTES and RANDOM_FAULTS_REGIONS say which faults, for how long, and with how many
regions; see CONTRIBUTING.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from devcluster import start_local
from devcluster.postgres import Postgres
from tests.faults.checker import check
from tests.faults.random_faults import AROUND_SECONDS, SHORT_MINUTES, SHORT_SEED, draw
from tests.faults.random_faults import REGIONS as FEW_REGIONS
from tests.faults.random_run import QUIET_END_SECONDS, Run
from tests.faults.report import explain, summarise
from tests.faults.site import Site
from tests.harness.kubectl import Kubectl
from tests.harness.long import rounds
from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

SEED = int(os.environ.get("RANDOM_FAULTS_SEED") or rounds(SHORT_SEED, long=1))
MINUTES = float(os.environ.get("RANDOM_FAULTS_MINUTES") or rounds(SHORT_MINUTES, long=10))
REGIONS = int(os.environ.get("RANDOM_FAULTS_REGIONS") or FEW_REGIONS)


@pytest.mark.long
@pytest.mark.timeout(MINUTES * 60 + QUIET_END_SECONDS + 120)
def test_random_faults(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def say(text: str) -> None:
        with capfd.disabled():
            print(f"\nrandom faults, seed {SEED}, {REGIONS} regions: {text}", end="", flush=True)

    course = draw(SEED, max(30.0, MINUTES * 60 - AROUND_SECONDS), regions=REGIONS)
    with start_local(f"random-{os.getpid()}", node=False) as cluster, Postgres.temporary() as server:
        kubectl = Kubectl(cluster.kubeconfig, "random")
        kubectl("create", "namespace", kubectl.namespace)
        kubectl("apply", "-f", str(CHECKOUT / "crds"), "-f", str(CHECKOUT / "manifests/20-priorityclass.yaml"))
        with Site.on(server, tmp_path / "DATABASE_URL") as site:
            with Run(course, cluster=cluster, kubectl=kubectl, site=site, folder=tmp_path, say=say) as run:
                run.faults()
                say("all is healed; waiting for the end of all differences")
                quiet = run.quiet_end()
            history = run.history(quiet)
    say(summarise(history))
    violations = check(history)
    assert not violations, explain(course, history, violations)
