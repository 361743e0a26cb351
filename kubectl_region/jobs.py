"""The commands `trigger` and `logs`: a Job by hand, and what a Job's pods print."""

from __future__ import annotations

import json
import secrets
import sys
from typing import TYPE_CHECKING, Any

import click

from kubectl_region.cluster import CONTAINER, REGION_LABEL
from kubectl_region.console import Console
from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.options import Timeout, with_cluster
from kubectl_region.ticks import PAGE, moment
from kubectl_region.waiting import poll
from region_tick.contract import State, job_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubectl_region.cluster import Cluster, CronJob

MANUAL_SUFFIX = "-m-"
"""Between the CronJob's name and six random hex digits: such a Job is a manual run (contract.tick_at_of)."""
JOB_LABEL = "batch.kubernetes.io/job-name"


@click.command()
@click.argument("code")
@click.option("--wait", "wait", is_flag=True, help="Wait for the end; exit code 1 if the run failed.")
@click.option("--logs", "show_logs", is_flag=True, help="Show the log while it runs, then wait for the end.")
@click.option("--timeout", type=Timeout(), default="15m", show_default=True, help="How long --wait waits.")
@click.option("--dry-run", is_flag=True, help="Have the API server check it, and run nothing.")
@with_cluster
def trigger(cluster: Cluster, code: str, wait: bool, show_logs: bool, timeout: int, dry_run: bool) -> None:
    """Run a region now, once, by hand.

    The run is a Job of the region's CronJob, as `kubectl create job --from` makes it, with the annotation
    cronjob.kubernetes.io/instantiate=manual. It has a row of its own in the ledger and stands for no scheduled tick; it
    runs for a paused region, too. To run a tick again, use `kubectl region rerun`.
    """
    cronjob = cluster.cronjob_of(code)
    name = manual_name(cronjob.name)
    how = ["--dry-run=server"] * dry_run
    cluster.kubectl("create", "job", name, f"--from=cronjob/{cronjob.name}", "-n", cronjob.namespace, *how)
    click.echo(f"job.batch/{name} created" + " (server dry run)" * dry_run)
    if dry_run:
        return
    if show_logs:
        follow(cluster, cronjob.namespace, name)
    if wait or show_logs:
        ended = poll_end(cluster, cronjob, name, seconds=timeout)
        click.echo(f"job.batch/{name} {ended}")


def manual_name(cronjob: str) -> str:
    """Return a new name for a Job by hand. Names of Jobs have 63 characters at most (batch/validation)."""
    return cronjob + MANUAL_SUFFIX + secrets.token_hex(3)


def poll_end(cluster: Cluster, cronjob: CronJob, name: str, *, seconds: int) -> str:
    """Wait for a Job's end and return "succeeded". Raises PluginError if the Job failed or does not end."""
    namespace, seen = cronjob.namespace, dict[str, Any]()

    def runs_on() -> bool:
        found = cluster.kubectl("get", "job", name, "-n", namespace, "--ignore-not-found", "-o", "json")
        seen.clear()
        seen.update(json.loads(found or "{}"))
        return bool(seen) and not end_of(seen)

    if poll(runs_on, seconds=seconds):
        raise PluginError(
            f"job.batch/{name} has not ended after {seconds} s",
            f"it goes on; see why: kubectl describe job {name} -n {namespace}",
        )
    if not seen:
        return _recorded_end(cluster, cronjob, name)
    kind, message = end_of(seen) or ("", "")
    if kind != "Complete":
        raise PluginError(f"job.batch/{name} failed: {message}", f"see its log: kubectl logs job/{name} -n {namespace}")
    return "succeeded"


def _recorded_end(cluster: Cluster, cronjob: CronJob, name: str) -> str:
    """Return "succeeded" if the ledger says so of a Job that is gone: of a CronJob's ended Jobs, Kubernetes keeps the
    youngest only. Raises PluginError.
    """
    ticks = Console(cluster, cronjob.namespace).get("regions", cronjob.code, "ticks", limit=PAGE)["items"]
    found = next((tick for tick in ticks if tick["jobName"] == name), None)
    if found and found["state"] == State.SUCCEEDED:
        return State.SUCCEEDED.value
    told = f"{found['state']}: {found['reason']}" if found else "the ledger does not know of it"
    remedy = f"see what became of it: kubectl region runs {cronjob.code} -n {cronjob.namespace}"
    raise PluginError(f"job.batch/{name} is gone; {told}", remedy)


def end_of(job: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return how a Job ended, Complete or Failed, and the message; None while it goes on."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return condition["type"], condition.get("message", "")
    return None


@click.command()
@click.argument("code")
@click.argument("tick", required=False)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until the pod ends.")
@click.option("--tail", type=int, default=-1, help="Only so many of the last lines.")
@with_cluster
def logs(cluster: Cluster, code: str, tick: str | None, follows: bool, tail: int) -> None:
    """Show the log of a tick.

    TICK is a time, as `why` takes it. Without it: of the latest Job. The pods of old ticks are gone; the ledger still
    says what became of them: `kubectl region why`.
    """
    cronjob = cluster.cronjob_of(code)
    name = job_name(cronjob.name, moment(tick)) if tick else _latest(cluster, cronjob)
    if follows:
        sys.exit(follow(cluster, cronjob.namespace, name))
    words = ("--selector", f"{JOB_LABEL}={name}", "-c", CONTAINER, f"--tail={tail}", "-n", cronjob.namespace)
    text = cluster.kubectl("logs", *words)
    if not text:
        raise NotFoundError(
            f"no pod of job {name} has a log in namespace {cronjob.namespace}: the pods are gone, or have not started",
            f"kubectl region why {code} {tick or ''}".strip() + f" -n {cronjob.namespace}",
        )
    click.echo(text, nl=False)


def follow(cluster: Cluster, namespace: str, job: str) -> int:
    """Show a Job's log until its pod ends. Return kubectl's exit code."""
    words = ("-n", namespace, "-c", CONTAINER, "--follow", "--pod-running-timeout=5m")
    return cluster.kubectl.without_limit.show("logs", f"job/{job}", *words)


def _latest(cluster: Cluster, cronjob: CronJob) -> str:
    """Return the name of a region's youngest Job. Raises NotFoundError if there is none."""
    words = ("get", "jobs", "-n", cronjob.namespace, "--selector", f"{REGION_LABEL}={cronjob.key}")
    jobs = cluster.kubectl.json(*words)["items"]
    if not jobs:
        raise NotFoundError(
            f"region {cronjob.code} has no Job any more in namespace {cronjob.namespace}",
            f"see its ticks: kubectl region runs {cronjob.code} -n {cronjob.namespace}",
        )
    youngest = max(jobs, key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]))
    return str(youngest["metadata"]["name"])
