"""Killed by the kernel in the middle of it: the next start finishes, and undoes or repeats nothing."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

from region_operator.kube.api import CONCURRENT_REQUESTS
from tests.faults.site import REGIONS
from tests.harness.audit import audit_lines, sent_by
from tests.harness.memory import end_for_want_of_memory
from tests.harness.regions import numbered
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.faults.site import Site
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl

COUNT = 600


def test_killed_for_want_of_memory_amid_an_apply_the_next_start_finishes(
    site: Site, run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster
) -> None:
    site.add_regions(numbered(REGIONS + 1, COUNT))
    with run_operator(DATABASE_URL_FILE=str(site.url_file)) as operator:
        eventually(lambda: len(operator.logged("added")) > COUNT / 10, what="it is in the middle", seconds=60)
        end_for_want_of_memory(operator.pid)
        assert operator.wait() == -signal.SIGKILL
    eventually(lambda: site.sessions() == 0, what="no connection is left")
    half = {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()}
    assert COUNT / 10 < len(half) < COUNT

    with run_operator(DATABASE_URL_FILE=str(site.url_file)) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="all is done", seconds=180)
        assert [line for line in operator.lines if line["level"] == "error"] == []
        assert operator.stop() == 0
    whole = {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()}
    assert len(whole) == COUNT
    assert whole | half == whole

    writes = [line for line in audit_lines(control_plane, kubectl.namespace) if sent_by(line)]
    writes = [line for line in writes if line["objectRef"]["resource"] == "cronjobs"]
    assert {line["verb"] for line in writes} == {"patch"}
    times = Counter(line["objectRef"]["name"] for line in writes)
    assert len([name for name in times if times[name] > 1]) <= CONCURRENT_REQUESTS
