"""The commands `pause` and `resume`: annotations of CronJobs, which the operator obeys. With --all: `suspensions`.

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
from kubectl_region.moments import ago, format_time, is_time_of_day, parse_future
from kubectl_region.options import with_cluster
from kubectl_region.output import printable, warn
from kubectl_region.questions import confirm
from kubectl_region.suspensions import resume_all, suspend_all
from kubectl_region.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubectl_region.cluster import Cluster, CronJob

HEARD_SECONDS = 15
"""How long to wait until the operator has done what the annotations say."""
PAUSED = "paused"
"""What the operator writes beside a CronJob that it has suspended because of a pause."""
WITH_ALL = "spec.suspend"
"""What the operator writes beside a CronJob that is suspended with all others, by whichever field."""
SHOWN = 20
"""How many regions are named in one line."""
_UNTIL_HELP = (
    "The end: a time in UTC (2026-11-30T01:05:00Z, or 01:05 for the next one), or a duration such as 2h."
    " Default: until `resume`."
)


@click.command()
@click.argument("codes", nargs=-1)
@click.option("--all-matching", metavar="GLOB", help="All regions whose codes match, e.g. 'FR-*'.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All regions at once, also those to come: spec.suspend, spec.suspendUntil.",
)
@click.option("--reason", required=True, help="Why, for whoever finds the region paused.")
@click.option("--until", help=_UNTIL_HELP)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Have the API server check it, and change nothing.")
@with_cluster
def pause(
    cluster: Cluster,
    codes: tuple[str, ...],
    all_matching: str | None,
    everything: bool,
    reason: str,
    until: str | None,
    yes: bool,
    dry_run: bool,
) -> None:
    """Stop regions until they are resumed.

    A tick that runs comes to its end. What is paused already stays as whoever paused it said. Who paused is kept as
    `kubectl auth whoami` tells, or else as your local user; nobody checks that. --all stops all regions at once, by
    spec.suspend or spec.suspendUntil of the RegionScheduler, and leaves pauses of single regions as they are.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    if not reason.strip(" ."):
        raise PluginError(f'the reason "{reason}" says nothing', "say why, for whoever finds the region paused")
    try:
        end = parse_future(until, now=now) if until else None
    except ValueError as error:
        raise PluginError(f"--until: {error}") from None
    _check_choice(codes, all_matching, everything=everything)
    tomorrow = bool(until and end and is_time_of_day(until) and end.date() > now.date())
    if tomorrow:
        warn(f"--until {until}: it is {now:%H:%M} in UTC now, so the end is tomorrow")
    if everything:
        suspend_all(cluster, reason=reason.strip(), now=now, end=end, yes=yes, dry_run=dry_run)
        return
    chosen = choose(cluster, codes, all_matching)
    for cronjob in chosen:
        if cronjob.paused_at(now):
            warn(f"{_title(cluster, cronjob)} is {cronjob.pause}; it stays so")
    new = [cronjob for cronjob in chosen if not cronjob.paused_at(now)]
    told = f" until {format_time(end)} ({ago(format_time(end), now)})" if end else ""
    is_asked = all_matching or cluster.everywhere or tomorrow
    _ask(cluster, "Pause", new, told, yes=yes or dry_run or not is_asked)
    annotations = {
        PAUSED_ANNOTATION: "true",
        PAUSED_BY_ANNOTATION: who_am_i(cluster.kubectl),
        PAUSED_REASON_ANNOTATION: reason.strip(),
        PAUSED_SINCE_ANNOTATION: format_time(now),
    }
    until_change = f"{PAUSED_UNTIL_ANNOTATION}={format_time(end)}" if end else f"{PAUSED_UNTIL_ANNOTATION}-"
    changes = [*(f"{name}={text}" for name, text in annotations.items()), until_change]
    _annotate(cluster, new, changes, "paused", done=lambda cronjob: cronjob.paused_at(now), dry_run=dry_run)
    _report(cluster, new, "paused", told, done=lambda cronjob: cronjob.suspended, dry_run=dry_run)


@click.command()
@click.argument("codes", nargs=-1)
@click.option("--all-matching", metavar="GLOB", help="All paused regions whose codes match, e.g. 'FR-*'.")
@click.option("--all", "everything", is_flag=True, help="End a pause of all regions: spec.suspend, spec.suspendUntil.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Have the API server check it, and change nothing.")
@with_cluster
def resume(
    cluster: Cluster, codes: tuple[str, ...], all_matching: str | None, everything: bool, yes: bool, dry_run: bool
) -> None:
    """Let paused regions tick again.

    A tick that was due within the last minutes may start at once; all earlier ones stay skipped. --all ends a pause of
    all regions, and leaves pauses of single regions as they are.
    """
    _check_choice(codes, all_matching, everything=everything)
    if everything:
        resume_all(cluster, now=datetime.now(UTC), yes=yes, dry_run=dry_run)
        return
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
    changes = [f"{name}-" for name in PAUSE_ANNOTATIONS]
    _annotate(cluster, paused, changes, "resumed", done=lambda cronjob: not cronjob.paused, dry_run=dry_run)
    _report(cluster, paused, "resumed", done=lambda cronjob: cronjob.suspended_by != PAUSED, dry_run=dry_run)


def _check_choice(codes: Sequence[str], glob: str | None, *, everything: bool) -> None:
    if [bool(codes), bool(glob), everything].count(True) != 1:
        raise click.UsageError("give codes, --all-matching with a glob, or --all")


def choose(cluster: Cluster, codes: Sequence[str], glob: str | None) -> list[CronJob]:
    """Return the CronJobs of the regions that a command line names. Raises PluginError if it names none."""
    if not glob:
        return cluster.cronjobs_of(codes)
    chosen = [cronjob for cronjob in cluster.cronjobs() if fnmatchcase(cronjob.code, glob)]
    if not chosen:
        raise NotFoundError(f'no region matches "{glob}"', "see which there are: kubectl region list")
    return chosen


def _title(cluster: Cluster, cronjob: CronJob) -> str:
    """Name a region for people: with its namespace, if the command is about several."""
    return printable(f"{cronjob.namespace}/{cronjob.code}" if cluster.everywhere else cronjob.code)


def _named(cluster: Cluster, cronjobs: Sequence[CronJob]) -> str:
    """Name regions in one line, as many as a person reads."""
    named = ", ".join(_title(cluster, cronjob) for cronjob in cronjobs[:SHOWN])
    more = len(cronjobs) - SHOWN
    return f"{named} and {more} more" if more > 0 else named or "none"


def _ask(cluster: Cluster, verb: str, cronjobs: Sequence[CronJob], told: str = "", *, yes: bool) -> None:
    """Ask before regions are changed that the command line does not name, or to an end that it does not name."""
    if yes or not cronjobs:
        return
    click.echo(f"{len(cronjobs)} regions: {_named(cluster, cronjobs)}")
    confirm(f"{verb} these{told}?")


def _annotate(
    cluster: Cluster,
    cronjobs: Sequence[CronJob],
    changes: Sequence[str],
    verb: str,
    *,
    done: Callable[[CronJob], bool],
    dry_run: bool,
) -> None:
    """Change the annotations of CronJobs. Raises PluginError, which says of which ones they were changed."""
    how = ["--overwrite", f"--field-manager={FIELD_MANAGER}", *["--dry-run=server"] * dry_run]
    try:
        for namespace, names in by_namespace(cronjobs):
            cluster.kubectl("annotate", "cronjobs", "-n", namespace, *names, *changes, *how)
    except PluginError as error:
        if dry_run or len(cronjobs) == 1:
            raise
        warn(f"error: {error.message}")
        now = {(one.namespace, one.name) for one in cluster.named(cronjobs) if done(one)}
        were = [one for one in cronjobs if (one.namespace, one.name) in now]
        others = [one for one in cronjobs if (one.namespace, one.name) not in now]
        text = f"{len(were)} of {len(cronjobs)} regions were {verb}: {_named(cluster, were)}"
        remedy = error.remedy or "mend what the first error says; the same command does the rest"
        raise PluginError(f"{text}; not {verb}: {_named(cluster, others)}", remedy) from error


def _report(
    cluster: Cluster,
    cronjobs: Sequence[CronJob],
    verb: str,
    told: str = "",
    *,
    done: Callable[[CronJob], bool],
    dry_run: bool,
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
            click.echo(f"{_title(cluster, cronjob)} {verb}{told}{still}" + " (server dry run)" * dry_run)
    if left:
        named = _named(cluster, waiting)
        raise PluginError(
            f"the annotations are set, and after {HEARD_SECONDS} s the operator has not {verb}: {named}",
            "see whether the operator runs: kubectl region doctor",
        )


def _what_else(cronjob: CronJob) -> str:
    """Say what suspends a region that is not paused."""
    if not cronjob.suspended:
        return ""
    if cronjob.suspended_by == WITH_ALL:
        return ", and suspended with all regions: kubectl region resume --all ends that"
    return f", and suspended by {printable(cronjob.suspended_by) or 'somebody'}"
