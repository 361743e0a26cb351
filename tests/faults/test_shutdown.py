"""SIGTERM in the middle of it: the end comes in time and leaves nothing that the next start does not finish."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from region_operator.database.migrate import migrate
from region_operator.kube.api import CONCURRENT_REQUESTS
from region_operator.runtime.shutdown import EXIT_LIMIT_SECONDS
from region_tick.database_url import DatabaseUrl
from tests.faults.site import REGIONS
from tests.harness.audit import audit_lines, sent_by
from tests.harness.regions import numbered
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.faults.site import Site
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl

COUNT = 5000
LAST_SUCCESS = "region_operator_last_success_timestamp_seconds"


@pytest.mark.alone
def test_told_to_stop_amid_five_thousand_cronjobs_it_ends_and_the_next_start_finishes(
    site: Site, run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster
) -> None:
    site.add_regions(numbered(REGIONS + 1, COUNT))
    with run_operator(DATABASE_URL_FILE=str(site.url_file)) as operator:
        eventually(lambda: len(operator.logged("added")) > COUNT / 10, what="it is in the middle", seconds=60)
        operator.signal(signal.SIGTERM)
        assert operator.wait(EXIT_LIMIT_SECONDS) == 0
        assert operator.lines[-1]["event"] == "stopped"
        assert len(operator.logged("added")) < COUNT
        assert [line for line in operator.lines if line["level"] != "info"] == []
    eventually(lambda: site.sessions() == 0, what="no connection is left")
    assert kubectl.get("lease", "region-operator")["spec"]["holderIdentity"] == ""

    with run_operator(DATABASE_URL_FILE=str(site.url_file)) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="all is done", seconds=180)
        assert operator.stop() == 0
    assert len(kubectl.cronjobs()) == COUNT
    writes = [line for line in audit_lines(control_plane, kubectl.namespace) if sent_by(line)]
    applied = Counter(line["objectRef"]["name"] for line in writes if line["objectRef"]["resource"] == "cronjobs")
    assert len(applied) == COUNT
    again = [name for name, times in applied.items() if times > 1]
    assert len(again) <= CONCURRENT_REQUESTS
    assert {line["verb"] for line in writes if line["objectRef"]["resource"] == "cronjobs"} == {"patch"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_while_the_database_hangs_it_ends(
    site: Site, run_operator: RunOperator, number: signal.Signals
) -> None:
    asyncio.run(migrate(DatabaseUrl.parse(site.url)))
    site.sql("ALTER TABLE region_tick.job_run RENAME lease_until TO away")  # so that the ledger tries again and again
    with run_operator(DATABASE_URL_FILE=str(site.url_file), REGION_REFRESH_INTERVAL_MS="1000") as operator:
        eventually(lambda: operator.logged("not accounted"), what="a first reconcile")
        with site.server.frozen():
            eventually(
                lambda: time.time() - operator.metric(LAST_SUCCESS) > 3, what="a reconcile hangs, and the ledger"
            )
            operator.signal(number)
            assert operator.wait(EXIT_LIMIT_SECONDS) == 0
        assert operator.lines[-1]["event"] == "stopped"
        assert [line for line in operator.lines if line["event"].startswith("Timer") or "settings" in line] == []
    eventually(lambda: site.sessions() == 0, what="no connection is left")
