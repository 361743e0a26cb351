"""The commands `pause` and `resume`: annotations of CronJobs, which the operator obeys. With --all: `suspensions`.

Who paused is self-declared: anybody who may annotate a CronJob may write another name. The API server's audit log has
the true one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from kubectl_region.annotating import Change, change, title, titles
from kubectl_region.cluster import (
    PAUSE_ANNOTATIONS,
    PAUSED_ANNOTATION,
    PAUSED_BY_ANNOTATION,
    PAUSED_REASON_ANNOTATION,
    PAUSED_SINCE_ANNOTATION,
    PAUSED_UNTIL_ANNOTATION,
)
from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.identity import who_am_i
from kubectl_region.moments import ago, format_time, is_time_of_day, parse_future
from kubectl_region.options import with_cluster
from kubectl_region.output import printable, warn
from kubectl_region.questions import confirm
from kubectl_region.suspensions import resume_all, suspend_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubectl_region.cluster import Cluster, CronJob

PAUSED = "paused"
"""What the operator writes beside a CronJob that it has suspended because of a pause."""
WITH_ALL = "spec.suspend"
"""What the operator writes beside a CronJob that is suspended with all others, by whichever field."""
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
    new = _without_pauses(cluster, chosen, now)
    told = f" until {format_time(end)} ({ago(format_time(end), now)})" if end else ""
    is_asked = all_matching or cluster.everywhere or tomorrow
    agreed = _ask(cluster, "Pause", new, told, yes=yes or dry_run or not is_asked)
    annotations = {
        PAUSED_ANNOTATION: "true",
        PAUSED_BY_ANNOTATION: who_am_i(cluster.kubectl),
        PAUSED_REASON_ANNOTATION: reason.strip(),
        PAUSED_SINCE_ANNOTATION: format_time(now),
        PAUSED_UNTIL_ANNOTATION: format_time(end) if end else None,
    }
    what = Change(
        verb="paused", annotations=annotations, is_done=lambda cronjob: cronjob.suspended, more=lambda _: told
    )
    change(cluster, _without_pauses(cluster, agreed, now), what, dry_run=dry_run)


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
    is_asked = bool(all_matching or cluster.everywhere) and not (yes or dry_run)
    for cronjob in chosen:
        if cronjob.paused:
            click.echo(f"{title(cluster, cronjob)} was {cronjob.pause}", err=is_asked)
        elif not all_matching:
            warn(f"{title(cluster, cronjob)} is not paused{_what_else(cronjob)}")
    agreed = _ask(cluster, "Resume", paused, yes=not is_asked)
    what = Change(
        verb="resumed",
        annotations=dict.fromkeys(PAUSE_ANNOTATIONS),
        is_done=lambda cronjob: cronjob.suspended_by != PAUSED,
        more=lambda cronjob: "" if cronjob.paused else _what_else(cronjob),
    )
    change(cluster, _as_shown(cluster, agreed, paused), what, dry_run=dry_run)


def _check_choice(codes: Sequence[str], glob: str | None, *, everything: bool) -> None:
    if [bool(codes), bool(glob), everything].count(True) != 1:
        raise click.UsageError("give codes, --all-matching with a glob, or --all")


def choose(cluster: Cluster, codes: Sequence[str], glob: str | None) -> list[CronJob]:
    """Return the CronJobs of the regions that a command line names. Raises PluginError if it names none."""
    if not glob:
        return cluster.cronjobs_of(codes)
    chosen = [cronjob for cronjob in cluster.cronjobs() if fnmatchcase(printable(cronjob.code), printable(glob))]
    if not chosen:
        raise NotFoundError(f'no region matches "{glob}"', "see which there are: kubectl region list")
    return chosen


def _ask(cluster: Cluster, verb: str, cronjobs: Sequence[CronJob], told: str = "", *, yes: bool) -> Sequence[CronJob]:
    """Ask before regions are changed that the command line does not name, or to an end that it does not name.

    Return them as they are after the answer: somebody else may have changed them meanwhile.
    """
    if yes or not cronjobs:
        return cronjobs
    warn(f"{len(cronjobs)} regions: {titles(cluster, cronjobs)}")
    confirm(f"{verb} these{told}?")
    now = cluster.named(cronjobs)
    if gone := [one for one in cronjobs if one.place not in {other.place for other in now}]:
        warn(f"gone meanwhile: {titles(cluster, gone)}")
    return now


def _without_pauses(cluster: Cluster, cronjobs: Sequence[CronJob], now: datetime) -> list[CronJob]:
    """Return the CronJobs that are not paused, and say of the others that they stay so."""
    for cronjob in cronjobs:
        if cronjob.paused_at(now):
            warn(f"{title(cluster, cronjob)} is {cronjob.pause}; it stays so")
    return [cronjob for cronjob in cronjobs if not cronjob.paused_at(now)]


def _as_shown(cluster: Cluster, cronjobs: Sequence[CronJob], shown: Sequence[CronJob]) -> list[CronJob]:
    """Return the CronJobs that are paused as they were shown. Raises PluginError if one has another pause now."""
    pauses = {cronjob.place: cronjob.pause for cronjob in shown}
    if others := [one for one in cronjobs if one.paused and one.pause != pauses[one.place]]:
        raise PluginError(
            f"another pause than was shown: {titles(cluster, others)}; nothing was resumed",
            "look again: the same command shows what is paused now",
        )
    for cronjob in cronjobs:
        if not cronjob.paused:
            warn(f"{title(cluster, cronjob)} is not paused any more")
    return [cronjob for cronjob in cronjobs if cronjob.paused]


def _what_else(cronjob: CronJob) -> str:
    """Say what suspends a region that is not paused."""
    if not cronjob.suspended:
        return ""
    if cronjob.suspended_by == WITH_ALL:
        return ", and suspended with all regions: kubectl region resume --all ends that"
    return f", and suspended by {printable(cronjob.suspended_by) or 'somebody'}"
