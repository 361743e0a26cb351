"""The commands `pause` and `resume`: annotations of CronJobs, which the operator obeys.

Who paused is self-declared: anybody who may annotate a CronJob may write another name. The API server's audit log has
the true one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from kubectl_region.cluster import (
    FIELD_MANAGER,
    PAUSE_ANNOTATIONS,
    PAUSED_ANNOTATION,
    PAUSED_BY_ANNOTATION,
    PAUSED_REASON_ANNOTATION,
    PAUSED_SINCE_ANNOTATION,
    PAUSED_UNTIL_ANNOTATION,
    by_namespace,
)
from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.identity import who_am_i
from kubectl_region.moments import format_time, parse_future
from kubectl_region.options import with_cluster
from kubectl_region.output import printable, warn
from kubectl_region.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubectl_region.cluster import Cluster, CronJob

HEARD_SECONDS = 15
"""How long to wait until the operator has done what the annotations say."""
PAUSED = "paused"
"""What the operator writes beside a CronJob that it has suspended because of a pause."""
SHOWN = 20
"""How many regions are named before a question."""


@click.command()
@click.argument("codes", nargs=-1)
@click.option("--all-matching", metavar="GLOB", help="All regions whose codes match, e.g. 'FR-*'.")
@click.option("--reason", required=True, help="Why, for whoever finds the region paused.")
@click.option("--until", help="The end: a time, or a duration such as 2h. Default: until `resume`.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Have the API server check it, and change nothing.")
@with_cluster
def pause(
    cluster: Cluster,
    codes: tuple[str, ...],
    all_matching: str | None,
    reason: str,
    until: str | None,
    yes: bool,
    dry_run: bool,
) -> None:
    """Stop regions until they are resumed.

    A tick that runs comes to its end. What is paused already stays as whoever paused it said. Who paused is kept as
    `kubectl auth whoami` tells, or else as your local user; nobody checks that. To stop all regions at once, set
    spec.suspend of the RegionScheduler.
    """
    now = datetime.now(UTC)
    if not reason.strip():
        raise PluginError("the reason is empty", "say why, for whoever finds the region paused")
    try:
        end = format_time(parse_future(until, now=now)) if until else ""
    except ValueError as error:
        raise PluginError(f"--until: {error}") from None
    chosen = choose(cluster, codes, all_matching)
    for cronjob in chosen:
        if cronjob.paused:
            warn(f"{_title(cluster, cronjob)} is {cronjob.pause}; it stays so")
    new = [cronjob for cronjob in chosen if not cronjob.paused]
    _ask(cluster, "Pause", new, yes=yes or dry_run or not (all_matching or cluster.everywhere))
    annotations = {
        PAUSED_ANNOTATION: "true",
        PAUSED_BY_ANNOTATION: who_am_i(cluster.kubectl),
        PAUSED_REASON_ANNOTATION: reason.strip(),
        PAUSED_SINCE_ANNOTATION: format_time(now),
    } | ({PAUSED_UNTIL_ANNOTATION: end} if end else {})
    _annotate(cluster, new, [f"{name}={text}" for name, text in annotations.items()], dry_run=dry_run)
    _report(cluster, new, "paused", done=lambda cronjob: cronjob.suspended, dry_run=dry_run)


@click.command()
@click.argument("codes", nargs=-1)
@click.option("--all-matching", metavar="GLOB", help="All paused regions whose codes match, e.g. 'FR-*'.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Have the API server check it, and change nothing.")
@with_cluster
def resume(cluster: Cluster, codes: tuple[str, ...], all_matching: str | None, yes: bool, dry_run: bool) -> None:
    """Let paused regions tick again.

    A tick that was due within the last minutes may start at once; all earlier ones stay skipped.
    """
    chosen = choose(cluster, codes, all_matching)
    paused = [cronjob for cronjob in chosen if cronjob.paused]
    if all_matching and not paused:
        raise NotFoundError(f'no region that matches "{all_matching}" is paused')
    for cronjob in chosen:
        if cronjob.paused:
            click.echo(f"{_title(cluster, cronjob)} was {cronjob.pause}")
        elif not all_matching:
            warn(f"{_title(cluster, cronjob)} is not paused{_what_else(cronjob)}")
    _ask(cluster, "Resume", paused, yes=yes or dry_run or not (all_matching or cluster.everywhere))
    _annotate(cluster, paused, [f"{name}-" for name in PAUSE_ANNOTATIONS], dry_run=dry_run)
    _report(cluster, paused, "resumed", done=lambda cronjob: cronjob.suspended_by != PAUSED, dry_run=dry_run)


def choose(cluster: Cluster, codes: Sequence[str], glob: str | None) -> list[CronJob]:
    """Return the CronJobs of the regions that a command line names. Raises PluginError if it names none."""
    if bool(codes) == bool(glob):
        raise click.UsageError("give codes, or --all-matching with a glob")
    if not glob:
        return cluster.cronjobs_of(codes)
    chosen = [cronjob for cronjob in cluster.cronjobs() if fnmatchcase(cronjob.code, glob)]
    if not chosen:
        raise NotFoundError(f'no region matches "{glob}"', "see which there are: kubectl region list")
    return chosen


def _title(cluster: Cluster, cronjob: CronJob) -> str:
    """Name a region for people: with its namespace, if the command is about several."""
    return printable(f"{cronjob.namespace}/{cronjob.code}" if cluster.everywhere else cronjob.code)


def _ask(cluster: Cluster, verb: str, cronjobs: Sequence[CronJob], *, yes: bool) -> None:
    """Ask before many regions are changed, or regions of namespaces that the command line does not name."""
    if yes or not cronjobs:
        return
    named = ", ".join(_title(cluster, cronjob) for cronjob in cronjobs[:SHOWN])
    more = len(cronjobs) - SHOWN
    click.echo(f"{len(cronjobs)} regions: {named}" + (f" and {more} more" if more > 0 else ""))
    click.confirm(f"{verb} these?", abort=True)


def _annotate(cluster: Cluster, cronjobs: Sequence[CronJob], changes: Sequence[str], *, dry_run: bool) -> None:
    how = ["--overwrite", f"--field-manager={FIELD_MANAGER}", *["--dry-run=server"] * dry_run]
    for namespace, names in by_namespace(cronjobs):
        cluster.kubectl("annotate", "cronjobs", "-n", namespace, *names, *changes, *how)


def _report(
    cluster: Cluster, cronjobs: Sequence[CronJob], verb: str, *, done: Callable[[CronJob], bool], dry_run: bool
) -> None:
    """Say what was done, when the operator has done it. Raises PluginError if the operator does not."""
    waiting: Sequence[CronJob] = []
    if cronjobs and not dry_run:
        waiting = poll(lambda: [one for one in cluster.named(cronjobs) if not done(one)], seconds=HEARD_SECONDS)
    left = {(cronjob.namespace, cronjob.name) for cronjob in waiting}
    seen = [] if dry_run or verb == "paused" else cluster.named(cronjobs)
    now = {(one.namespace, one.name): one for one in seen}
    for cronjob in cronjobs:
        if (key := (cronjob.namespace, cronjob.name)) not in left:
            still = _what_else(now[key]) if key in now else ""
            click.echo(f"{_title(cluster, cronjob)} {verb}{still}" + " (server dry run)" * dry_run)
    if left:
        codes = ", ".join(_title(cluster, cronjob) for cronjob in waiting[:SHOWN])
        raise PluginError(
            f"the annotations are set, and after {HEARD_SECONDS} s the operator has not {verb}: {codes}",
            "see whether the operator runs: kubectl region doctor",
        )


def _what_else(cronjob: CronJob) -> str:
    """Say what suspends a region that is not paused."""
    return f", and suspended by {printable(cronjob.suspended_by) or 'somebody'}" if cronjob.suspended else ""
