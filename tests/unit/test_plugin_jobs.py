"""kubectl_region/jobs.py: how a Job ended, also one that Kubernetes has deleted since."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_region import jobs
from kubectl_region.cluster import Cluster, CronJob
from kubectl_region.errors import PluginError
from kubectl_region.jobs import end_of, poll_end
from tests.unit.plugin_answers import tick_list, tick_row

REGION = CronJob("ticks", "a-0123456789ab", "a", "0123456789ab", suspended=False, suspended_by="", annotations={})


@pytest.mark.parametrize(
    ("conditions", "end"),
    [
        ([], None),
        ([{"type": "FailureTarget", "status": "True"}], None),
        ([{"type": "Failed", "status": "False"}], None),
        ([{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}], ("Complete", "")),
        ([{"type": "Failed", "status": "True", "message": "deadline"}], ("Failed", "deadline")),
    ],
)
def test_the_end_of_a_job(conditions: list[dict[str, Any]], end: tuple[str, str] | None) -> None:
    assert end_of({"status": {"conditions": conditions}}) == end
    assert end_of({}) is None


class Ledger:
    """Answers as the console of a cluster whose ledger has two runs by hand."""

    def __init__(self, *_: object) -> None:
        pass

    def get(self, *path: str, **_query: object) -> dict[str, Any]:
        assert path == ("regions", "a", "ticks")
        return tick_list(
            tick_row(jobName="a-m-1", state="succeeded", reason="ok"),
            tick_row(jobName="a-m-2", state="failed", reason="error"),
        )


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("a-m-1", None),
        ("a-m-2", "job.batch/a-m-2 is gone; failed: error"),
        ("a-m-3", "job.batch/a-m-3 is gone; the ledger does not know of it"),
    ],
)
def test_what_became_of_a_job_that_is_gone_says_the_ledger(
    monkeypatch: pytest.MonkeyPatch, name: str, error: str | None
) -> None:
    monkeypatch.setattr(jobs, "Console", Ledger)
    cluster = Cluster(lambda *_arguments: "")  # type: ignore[arg-type]
    if error is None:
        assert poll_end(cluster, REGION, name, seconds=1) == "succeeded"
    else:
        with pytest.raises(PluginError, match=error):
            poll_end(cluster, REGION, name, seconds=1)
