"""kube/quota.py: what the ResourceQuota counts. How it is applied is shown on a real API server."""

from __future__ import annotations

from region_operator.cronjobs.pod_spec import pod_spec
from region_operator.kube.quota import render_quota
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, scheduler


def test_the_quota_counts_the_ticks_priority_class_only() -> None:
    spec = render_quota(scheduler(concurrency=7))["spec"]
    schedule = parse_schedule(PARIS.cron_schedule)
    pod = pod_spec(PARIS, schedule, scheduler(), "fr-75-x", "tick:1", schedule.start_deadline())
    assert spec["hard"] == {"pods": "7"}
    assert spec["scopeSelector"]["matchExpressions"][0]["values"] == [pod["priorityClassName"]]


def test_the_quota_outlives_its_regionscheduler_if_the_cronjobs_do() -> None:
    """Otherwise nothing would limit them."""
    assert "ownerReferences" not in render_quota(scheduler(deletionPolicy="Orphan"))["metadata"]
    assert render_quota(scheduler())["metadata"]["ownerReferences"][0]["uid"] == scheduler().uid
