"""`pause --all` and `resume --all`: the fields spec.suspend and spec.suspendUntil of the RegionScheduler.

The operator obeys the fields, and says in the status what came of it; its words are shown. A suspension that stands is
made longer, never shorter: somebody else may rely on it. Who suspended is self-declared, as with pauses.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kubectl_region.cluster import (
    FIELD_MANAGER,
    PAUSED_BY_ANNOTATION,
    PAUSED_REASON_ANNOTATION,
    PAUSED_SINCE_ANNOTATION,
    SCHEDULER,
)
from kubectl_region.errors import PluginError
from kubectl_region.identity import who_am_i
from kubectl_region.moments import ago, format_time, read_time
from kubectl_region.output import printable, warn
from kubectl_region.questions import confirm
from kubectl_region.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kubectl_region.cluster import Cluster

HEARD_SECONDS = 15
"""How long to wait until the operator has begun what the fields say, and for each sign of progress after that."""
OPEN = datetime.max.replace(tzinfo=UTC)
"""The end of a suspension that only a person ends."""
SUSPENDED = "Suspended"
"""The condition of a RegionScheduler whose regions are all suspended, and the reason of Ready."""


def suspend_all(
    cluster: Cluster, *, reason: str, now: datetime, end: datetime | None, yes: bool, dry_run: bool
) -> None:
    """Suspend all regions of the RegionSchedulers that a command is about. Raises PluginError."""
    chosen = []
    for scheduler in cluster.schedulers():
        if (stands := end_of(scheduler, now)) and stands >= (end or OPEN):
            warn(f"{_title(scheduler)}: {_told(scheduler)}; it stays so")
        else:
            chosen.append(scheduler)
    told = f" until {format_time(end)} ({ago(format_time(end), now)})" if end else " until they are resumed"
    _ask(f"Suspend all of them{told}?", chosen, yes=yes or dry_run)
    annotations = {
        PAUSED_BY_ANNOTATION: who_am_i(cluster.kubectl),
        PAUSED_REASON_ANNOTATION: reason,
        PAUSED_SINCE_ANNOTATION: format_time(now),
    }
    spec = {"suspendUntil": format_time(end)} if end else {"suspend": True}
    for scheduler in chosen:
        _patch(cluster, scheduler, spec, annotations, suspended=True, dry_run=dry_run)


def resume_all(cluster: Cluster, *, now: datetime, yes: bool, dry_run: bool) -> None:
    """Let all regions tick again that are not paused by themselves. Raises PluginError."""
    chosen = []
    for scheduler in cluster.schedulers():
        if end_of(scheduler, now) is None and not _condition(scheduler, SUSPENDED):
            warn(f"{_title(scheduler)} is not suspended")
        else:
            click.echo(f"{_title(scheduler)}: {_told(scheduler)}")
            chosen.append(scheduler)
    _ask("Resume all of them?", chosen, yes=yes or dry_run)
    annotations = dict.fromkeys((PAUSED_BY_ANNOTATION, PAUSED_REASON_ANNOTATION, PAUSED_SINCE_ANNOTATION))
    for scheduler in chosen:
        spec = {"suspend": False} if _is_over(scheduler, now) else {"suspend": False, "suspendUntil": None}
        _patch(cluster, scheduler, spec, annotations, suspended=False, dry_run=dry_run)


def end_of(scheduler: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return when the suspension ends that the spec asks for: OPEN without an end. None: it asks for none."""
    spec = scheduler.get("spec", {})
    if spec.get("suspend"):
        return OPEN
    end = read_time(spec.get("suspendUntil"))
    return end if end and end > now else None


def _is_over(scheduler: Mapping[str, Any], now: datetime) -> bool:
    """Whether a moment is left over from an earlier suspension. Git may bring it back, so it may as well stay: while
    all are suspended, the API server refuses a moment that it does not have.
    """
    spec = scheduler.get("spec", {})
    end = read_time(spec.get("suspendUntil"))
    return bool(spec.get("suspend") and end and end <= now)


def _ask(question: str, schedulers: Sequence[Mapping[str, Any]], *, yes: bool) -> None:
    if yes or not schedulers:
        return
    for scheduler in schedulers:
        active = scheduler.get("status", {}).get("regions", {}).get("active", 0)
        click.echo(f"{_title(scheduler)}: {active:,} active regions")
    confirm(question)


def _patch(
    cluster: Cluster,
    scheduler: Mapping[str, Any],
    spec: Mapping[str, Any],
    annotations: Mapping[str, str | None],
    *,
    suspended: bool,
    dry_run: bool,
) -> None:
    """Change a RegionScheduler, and say what the operator says when it has followed. Raises PluginError."""
    namespace = scheduler["metadata"]["namespace"]
    patch = json.dumps({"metadata": {"annotations": annotations}, "spec": spec})
    flags = [f"--field-manager={FIELD_MANAGER}", *["--dry-run=server"] * dry_run]
    what = ["patch", "regionscheduler", SCHEDULER, "-n", namespace, "--type=merge", "-p", patch, *flags]
    changed = cluster.kubectl.json(*what)
    if dry_run:
        click.echo(f"{_title(scheduler)} {'suspended' if suspended else 'resumed'} (server dry run)")
        return
    followed = _wait(cluster, changed, suspended=suspended)
    told = _condition(followed, SUSPENDED if suspended else "Ready").get("message", "")
    click.echo(printable(f"{_title(scheduler)}: {told}"))


def _wait(cluster: Cluster, changed: Mapping[str, Any], *, suspended: bool) -> dict[str, Any]:
    """Return the RegionScheduler when the operator has followed; say how far it is. Raises PluginError."""
    meta, found = changed["metadata"], dict(changed)

    def left() -> str:
        nonlocal found
        found = cluster.kubectl.json("get", "regionscheduler", SCHEDULER, "-n", meta["namespace"])
        followed = found.get("status", {}).get("observedGeneration", -1) >= meta["generation"]
        if followed and bool(_condition(found, SUSPENDED)) == suspended:
            return ""
        return _condition(found, "Reconciling").get("message") or "not begun"

    before = ""
    while (progress := poll(left, seconds=HEARD_SECONDS)) and progress not in (before, "not begun"):
        warn(f"{_title(changed)}: {printable(progress)}")
        before = progress
    if progress:
        raise PluginError(
            f"{_title(changed)}: the spec is changed, and after {HEARD_SECONDS} s the operator has not followed",
            "see whether the operator runs: kubectl region doctor",
        )
    return found


def _told(scheduler: Mapping[str, Any]) -> str:
    """Return what the operator says of a suspension; before it has looked, what the spec says."""
    told = _condition(scheduler, SUSPENDED).get("message")
    return printable(told or "the spec suspends all regions, and no operator has followed yet")


def _condition(scheduler: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    conditions = scheduler.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def _title(scheduler: Mapping[str, Any]) -> str:
    return printable(f"{scheduler['metadata']['namespace']}/{scheduler['metadata']['name']}")
