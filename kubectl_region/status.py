"""The command `status`: on one screen what is wrong, why, and what to do.

Every text about causes is the operator's or the console's. Without a console, the RegionScheduler alone tells what it
can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kubectl_region.console import Console, ConsoleAwayError
from kubectl_region.holds import holds_of
from kubectl_region.moments import ago, brief, now_of, short
from kubectl_region.options import output_option, with_cluster
from kubectl_region.output import cut, gather, list_some, paint, print_data, printable_data, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kubectl_region.cluster import Cluster

COUNTED = ("ticking", "paused", "suspended", "quarantined", "held", "pending")
IN_TROUBLE = ("failing", "missed", "late")


@click.command()
@output_option()
@with_cluster
def status(cluster: Cluster, output: str | None) -> None:
    """Show on one screen what is wrong, why, and what to do."""
    answers = {}
    for namespace in cluster.namespaces:
        try:
            answers[namespace] = Console(cluster, namespace).get()
        except ConsoleAwayError as error:
            warn(f"without the console: {error.message}")
            warn(f"what to do: {error.remedy}")
    without = [one for one in _schedulers(cluster, answers) if one["metadata"]["namespace"] not in answers]
    if output:
        answers |= {one["metadata"]["namespace"]: scheduler_answer(one) for one in without}
        print_data(gather(answers, everywhere=cluster.everywhere), output)
        return
    screens = [overview_text(namespace, answer) for namespace, answer in answers.items()]
    screens += [scheduler_text(scheduler) for scheduler in without]
    click.echo("\n\n".join("\n".join(screen) for screen in screens))


def _schedulers(cluster: Cluster, answers: Mapping[str, object]) -> Sequence[dict[str, Any]]:
    """Return the RegionSchedulers if some namespace's console does not answer."""
    return list(cluster.schedulers()) if len(answers) < len(cluster.namespaces) else []


def overview_text(namespace: str, overview: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about one console's overview."""
    overview = printable_data(overview)
    now, ready, regions, scheduler = now_of(overview), overview["ready"], overview["regions"], overview["scheduler"]
    yield f"{namespace}/{scheduler['name']} of {scheduler['table']}: {_ready(ready)}"
    yield ""
    yield f"Regions:    {_counts(regions)}"
    ticks = ", ".join(f"{count:,} {state}" for state, count in overview["ticks"]["byState"].items() if count)
    of_all = ", of all shards" if scheduler.get("shard") else ""
    yield f"Ticks:      {ticks or 'none'} in {overview['ticks']['window']}{of_all}"
    bad = [one for one in overview["ticks"]["byReason"] if one["state"] in ("failed", "missed", "skipped")]
    if bad:
        yield "            " + ", ".join(f"{one['state']}, {one['reason']}: {one['ticks']:,}" for one in bad)
    yield f"Forecast:   {overview['forecast']['text']}"
    ledger = overview["ledger"]
    lag = ledger["lagSeconds"]
    yield f"Ledger:     every tick has its row up to {brief(ledger['accountedUntil'])}" + (
        f" ({short(lag)} ago)" if lag is not None else ""
    )
    if standstill := ledger.get("standstill"):  # a console of an older release does not say it
        yield f"            {standstill}"
    versions = overview["versions"]
    yield (
        f"Versions:   console {versions['console']}, operator {versions['operator'] or 'unknown'}, schema"
        f" {versions['schemaRevision'] or 'unknown'}"
    )
    yield from _conditions(overview["conditions"], ready["message"])
    for hold in overview["holds"]:
        yield f"\n{hold['count']} {hold['kind']}s held: {list_some(hold['regions'], hold['count'])}"
        yield f"  {hold['text']}"
        yield f"  what to do: kubectl region approve {hold['kind']} -n {namespace}"
    total, attention = overview["attentionTotal"], overview["attention"]
    yield f"\n{total} {'regions need' if total > 1 else 'region needs'} a look" if total else "\nNo region needs a look"
    for one in attention:
        if one["kind"] == "held" and overview["holds"]:
            continue  # its hold stands above
        since = f" {ago(one['since'], now)}" if one["since"] else ""
        yield f"{cut(one['code'])}: {paint(one['kind'])}{since}: {one['text']}"
        yield f"  what to do: {one['remedy']}"
    if total > len(attention):
        yield f"and {total - len(attention)} more: kubectl region list -n {namespace}"


def _ready(ready: Mapping[str, Any]) -> str:
    return f"Ready={paint(ready['status'])} ({ready['reason']}), {ready['message']}"


def _counts(regions: Mapping[str, int]) -> str:
    counts = ", ".join(f"{regions[name]:,} {name}" for name in COUNTED if regions[name])
    trouble = ", ".join(f"{regions[name]:,} {name}" for name in IN_TROUBLE if regions[name])
    return f"{regions['active']:,} active" + (f": {counts}" if counts else "") + (f"; {trouble}" if trouble else "")


def _conditions(conditions: Sequence[Mapping[str, Any]], told: str) -> Iterator[str]:
    """Yield the conditions that say something beside Ready's message. Those of holds are told with the holds."""
    for condition in conditions:
        if condition["message"] not in told and not condition["type"].endswith("Held"):
            yield f"\n{condition['type']} ({condition['reason']}): {condition['message']}"


def scheduler_answer(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known without a console, for JSON."""
    return {"kind": "RegionScheduler", "status": scheduler.get("status", {})}


def scheduler_text(scheduler: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about a RegionScheduler, which are what Kubernetes alone knows."""
    scheduler = printable_data(scheduler)
    meta, found = scheduler["metadata"], scheduler.get("status", {})
    conditions = found.get("conditions", [])
    ready = next((condition for condition in conditions if condition["type"] == "Ready"), None)
    yield f"{meta['namespace']}/{meta['name']}: {_ready(ready) if ready else 'no operator has looked at it yet'}"
    if regions := found.get("regions"):
        yield "\nRegions:    " + ", ".join(f"{count:,} {name}" for name, count in regions.items())
    yield from _conditions(conditions, ready["message"] if ready else "")
    for hold in holds_of(scheduler):
        yield f"\n{hold.text}"
        yield f"  what to do: kubectl region approve {hold.kind} -n {meta['namespace']}"
