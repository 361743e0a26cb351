"""The commands `rerun` and `backfill`: run ticks again that did not succeed."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from kubectl_region.backfill import Backfill
from kubectl_region.backfill_plan import WANTED_HELP, Rerun, Wanted, is_wanted, limit_of, read_wanted
from kubectl_region.commands import INTERRUPTED
from kubectl_region.console import Console
from kubectl_region.errors import PluginError
from kubectl_region.identity import who_am_i
from kubectl_region.moments import format_time, now_of, parse_past, read_time
from kubectl_region.options import with_cluster
from kubectl_region.output import table, warn
from kubectl_region.questions import confirm
from kubectl_region.ticks import PAGE
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubectl_region.cluster import Cluster, CronJob
    from kubectl_region.kubectl import Kubectl

_BY_HELP = "Who wants it, as the ledger and the Job shall say. Default: your name in the cluster. Nobody checks it."


@click.command()
@click.argument("code")
@click.argument("tick")
@click.option("--reason", help="Why, for those who read the ledger later.")
@click.option("--by", help=_BY_HELP)
@with_cluster
def rerun(cluster: Cluster, code: str, tick: str, reason: str | None, by: str | None) -> None:
    """Run one tick again that did not succeed, and wait until it is done.

    TICK is a time (2026-11-30T01:05:00Z, or 01:05 for the last one of that time of day, in UTC). The tick keeps its
    time, its key and its one row. Exit code 0: it has succeeded.
    """
    namespace, cronjobs = _regions(cluster, [code])
    cronjob = cronjobs[0]
    console = Console(cluster, namespace)
    tick_at = _moment(tick, _now(console, cronjob.code))
    plan = _one(console, cronjob, tick_at)
    concurrency, who = _concurrency(cluster), _who(cluster.kubectl, by, reason)
    work = Backfill(cluster.kubectl, console, namespace, limit=1, concurrency=concurrency, by=who)
    _run(work, plan, [cronjob.code], tick_at)


@click.command()
@click.argument("codes", metavar="CODE...", nargs=-1, required=True)
@click.option("--from", "since", required=True, help="From this tick on: a time, 01:05, or a duration ago such as 2h.")
@click.option("--to", "until", help="Up to this tick. Default: now.")
@click.option("--state", default="missed,failed", show_default=True, help=WANTED_HELP)
@click.option("--max-parallel", type=click.IntRange(1), help="How many at once. Default: half of spec.concurrency.")
@click.option("--dry-run", is_flag=True, help="Show which ticks would be run again, and run none.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", help="Why, for those who read the ledger later.")
@click.option("--by", help=_BY_HELP)
@with_cluster
def backfill(
    cluster: Cluster,
    codes: tuple[str, ...],
    since: str,
    until: str | None,
    state: str,
    max_parallel: int | None,
    dry_run: bool,
    yes: bool,
    reason: str | None,
    by: str | None,
) -> None:
    """Run all ticks of a time again that did not succeed, and wait for them.

    The oldest first, and one of each region at a time. You may interrupt it: what has begun goes on, and the same
    command does the rest. Exit code 0: all have succeeded.
    """
    wanted = read_wanted(state)
    namespace, cronjobs = _regions(cluster, codes)
    console = Console(cluster, namespace)
    first, last = _span(since, until, now=_now(console, cronjobs[0].code))
    warn(f"ticks from {format_time(first)} to {format_time(last)}")
    found = [_ticks(console, cronjob, first, last, wanted) for cronjob in cronjobs]
    plan = [tick for ticks, _ in found for tick in ticks]
    if plan:
        click.echo(_plan_table(plan), err=not (yes or dry_run))
    if lacking := [after for _, after in found if after]:
        warn(
            f"suspended ticks are counted up to {format_time(min(lacking))} so far, later ones within an hour, or"
            f" within minutes after their region is resumed: then --from {format_time(first)} finds them"
        )
    limit = limit_of(concurrency := _concurrency(cluster), max_parallel)
    if max_parallel and max_parallel > limit:
        warn(f"at most {limit} at once, not {max_parallel}: spec.concurrency is {concurrency}")
    if dry_run:
        warn(f"{len(plan)} ticks would be run again, at most {limit} at once")
        return
    if plan and not yes:
        confirm(f"Run these {len(plan)} ticks again, at most {limit} at once?")
    who = _who(cluster.kubectl, by, reason)
    work = Backfill(cluster.kubectl, console, namespace, limit=limit, concurrency=concurrency, by=who)
    _run(work, plan, [cronjob.code for cronjob in cronjobs])


def _run(work: Backfill, plan: Sequence[Rerun], codes: Sequence[str], tick_at: datetime | None = None) -> None:
    """Run a plan, and end the process: with exit code 0 if all of it succeeded.

    Reruns of `codes` that are under way are waited for too; with `tick_at`, only a rerun of that tick. Raises
    PluginError.
    """
    try:
        if under_way := work.adopt(codes, tick_at):
            warn(f"under way already: {under_way}")
        elif tick_at and not plan:
            raise PluginError(
                f"{codes[0]} {format_time(tick_at)} is at work", "look again when it has ended: kubectl region why"
            )
        elif not plan:
            warn("No ticks to run again")
        succeeded = work.run(plan)
    except KeyboardInterrupt:
        warn("interrupted: what has begun goes on by itself; the same command does the rest")
        sys.exit(INTERRUPTED)
    sys.exit(0 if succeeded else 1)


def _regions(cluster: Cluster, codes: Sequence[str]) -> tuple[str, list[CronJob]]:
    """Return the one namespace, and the CronJobs of the regions. Raises PluginError."""
    if cluster.everywhere:
        raise PluginError("ticks are run again in one namespace at a time", "name it by -n instead of -A")
    return cluster.namespaces[0], cluster.cronjobs_of(codes)


def _now(console: Console, code: str) -> datetime:
    """Return the present by the database's clock, by which ticks are due. Raises PluginError."""
    return now_of(console.get("regions", code))


def _moment(text: str, now: datetime) -> datetime:
    """Read a moment of the past. Raises PluginError."""
    try:
        return parse_past(text, now=now)
    except ValueError as error:
        raise PluginError(str(error)) from None


def _span(since: str, until: str | None, *, now: datetime) -> tuple[datetime, datetime]:
    """Return the time from `since` to `until`, or to now. Raises PluginError if it ends before it begins."""
    first, last = _moment(since, now), _moment(until, now) if until else now
    if first > last:
        raise PluginError(
            f"--from {since} is {format_time(first)}; --to {until or 'now'} is {format_time(last)}, which is before",
            f"write both with their day; it is {format_time(now)} now",
        )
    return first, last


def _one(console: Console, cronjob: CronJob, tick_at: datetime) -> list[Rerun]:
    """Return a plan for one tick, an empty one if the tick is at work. Raises PluginError for a success."""
    tick = console.get("regions", cronjob.code, "ticks", format_time(tick_at))
    state = State(tick["state"])
    if state is State.SUCCEEDED:
        raise PluginError(
            f"{cronjob.code} {format_time(tick_at)} has succeeded: a success is never run again",
            f"to do the region's work once more, now: kubectl region trigger {cronjob.code}",
        )
    return [_rerun(cronjob, tick)] if state.final else []


def _ticks(
    console: Console, cronjob: CronJob, since: datetime, until: datetime, wanted: set[Wanted]
) -> tuple[list[Rerun], datetime | None]:
    """Return a region's ticks of a time that are to be run again, and after when suspended ones may be lacking.

    None: none is known to be lacking, or the console does not say. Ticks of a region that is suspended, or was at its
    last counted tick, may be counted an hour later; a pause that began after that tick nothing here tells of.
    """
    rows, _ = _rows(console, cronjob.code, since, until)
    lacking = None
    if Wanted.SUSPENDED in wanted:
        found = {tick["tickAt"] for tick in rows}
        without, counted = _rows(console, cronjob.code, since, until, reason=Reason.SUSPENDED)
        rows += [tick for tick in without if tick["tickAt"] not in found]
        if counted and counted < until:
            lacking = counted if cronjob.suspended or counted < since or _was_suspended(rows, counted) else None
    return [_rerun(cronjob, tick) for tick in rows if is_wanted(tick["state"], tick["reason"], wanted)], lacking


def _was_suspended(rows: Sequence[dict[str, Any]], at: datetime) -> bool:
    """Whether the last tick up to a moment was skipped because its region was suspended."""
    last = max((tick for tick in rows if _time_of(tick) <= at), key=_time_of, default=None)
    return last is not None and last["reason"] == Reason.SUSPENDED


def _rows(
    console: Console, code: str, since: datetime, until: datetime, reason: Reason | None = None
) -> tuple[list[dict[str, Any]], datetime | None]:
    """Return a region's ticks, the newest first, no manual runs; and up to when ticks were counted before that.

    With Reason.SUSPENDED they are those that have no rows too.
    """
    answers: list[dict[str, Any]] = []
    before = format_time(until + timedelta(seconds=1))
    while before:
        answers.append(
            console.get("regions", code, "ticks", since=format_time(since), limit=PAGE, before=before, reason=reason)
        )
        before = answers[-1]["next"]
    rows = [tick for answer in answers for tick in answer["items"] if not tick["manualUid"]]
    return [tick for tick in rows if since <= _time_of(tick) <= until], read_time(answers[0].get("countedUntil"))


def _time_of(tick: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(tick["tickAt"])


def _rerun(cronjob: CronJob, tick: dict[str, Any]) -> Rerun:
    return Rerun(
        code=cronjob.code,
        cronjob=cronjob.name,
        tick_at=_time_of(tick),
        attempt=tick["attempt"],
        state=tick["state"],
        reason=tick["reason"] or "",
    )


def _plan_table(plan: Sequence[Rerun]) -> str:
    rows = [[tick.code, format_time(tick.tick_at), tick.state, tick.reason, str(tick.attempt)] for tick in plan]
    return table(["REGION", "TICK", "STATE", "REASON", "ATTEMPTS"], rows, painted=("STATE",))


def _concurrency(cluster: Cluster) -> int:
    """Return spec.concurrency of the namespace. Raises PluginError."""
    [scheduler] = cluster.schedulers()
    concurrency: int = scheduler["spec"]["concurrency"]
    return concurrency


def _who(kubectl: Kubectl, by: str | None, reason: str | None) -> str:
    """Return who wants it and why. Without `by`, the name is that which the API server knows, else the machine's."""
    name = by or who_am_i(kubectl)
    return f"{name}: {reason}" if reason else name
