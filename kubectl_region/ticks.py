"""The commands `runs` and `why`: what became of a region's ticks, in the words of the console."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kubectl_region.console import Console, ask_each, find_region
from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.moments import brief, format_time, now_of, parse_past
from kubectl_region.options import output_option, with_cluster
from kubectl_region.output import gather, paint, print_data, printable, printable_data, warn
from kubectl_region.tick_text import tick_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubectl_region.cluster import Cluster

PAGE = 500
"""How many ticks the console gives at once."""
WELL = ("succeeded", "running")
"""The states that nobody asks about."""


@click.command()
@click.argument("code")
@click.option("--since", help="Only ticks since then: a time, or a duration such as 24h.")
@click.option("--state", help="Only ticks in these states, e.g. missed,failed.")
@click.option("--reason", help="Only ticks with this reason, e.g. capacity.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many ticks.")
@output_option("wide")
@with_cluster
def runs(
    cluster: Cluster,
    code: str,
    since: str | None,
    state: str | None,
    reason: str | None,
    limit: int,
    output: str | None,
) -> None:
    """List the ticks of a region, the newest first."""
    start = format_time(moment(since)) if since else None
    query = {"since": start, "state": state, "reason": reason}
    answers = find_region(cluster, code, "ticks", limit=min(limit, PAGE), **query)
    for namespace, answer in answers.items():
        while (left := limit - len(answer["items"])) > 0 and answer["next"]:
            asked = query | {"limit": min(left, PAGE), "before": answer["next"]}
            more = Console(cluster, namespace).get("regions", code, "ticks", **asked)
            answer["items"] += more["items"]
            answer["next"] = more["next"]
    if output in ("json", "yaml"):
        print_data(gather(answers, everywhere=cluster.everywhere), output)
        return
    for namespace, answer in answers.items():
        if cluster.everywhere:
            click.echo(f"{namespace}:")
        if answer["items"]:
            click.echo(tick_table(answer["items"], now_of(answer), wide=output == "wide"))
        else:
            warn("No ticks found")
        if gone := answer.get("gone"):  # a console of the release before has none
            warn(printable(gone))
        if answer["next"]:
            warn(f"There are older ticks: --limit shows more than {limit}")


@click.command()
@click.argument("code")
@click.argument("tick", required=False)
@click.option("--manual", help="The uid of a manual run's Job.")
@output_option()
@with_cluster
def why(cluster: Cluster, code: str, tick: str | None, manual: str | None, output: str | None) -> None:
    """Say why a tick became what it is, step by step.

    TICK is a time (2026-11-30T01:05:00Z, or 01:05 for the last one of that time of day, in UTC). Without it: the last
    tick that did not succeed, or else the last tick.
    """
    if manual and not tick:
        raise click.UsageError(f"--manual needs TICK: kubectl region runs {code} -o wide shows both")
    at = format_time(moment(tick)) if tick else ""
    regions = find_region(cluster, code)

    def ask(console: Console) -> dict[str, Any]:
        known_at, uid = (at, manual) if at else _telling(regions[console.namespace])
        return console.get("regions", code, "ticks", known_at, manual=uid)

    answers = ask_each(cluster, ask, regions)
    if output:
        print_data(gather(answers, everywhere=cluster.everywhere), output)
        return
    for namespace, answer in answers.items():
        click.echo("\n".join(why_text(answer, regions[namespace])))


def _telling(region: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the tick that a person means who names none, and its uid if it is a manual run."""
    ticks = region["ticks"]
    if not ticks:
        text = f"region {region['code']} has no ticks on record"
        raise NotFoundError(f"{text}: {region['why']}" if region["why"] else text, region["remedy"] or "")
    tick = next((tick for tick in ticks if tick["state"] not in WELL), ticks[0])
    return tick["tickAt"], tick["manualUid"] or None


def why_text(tick: Mapping[str, Any], region: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that explain a tick, and what is wrong with its region."""
    message = printable(tick["errorMessage"] or "", lines=True)
    tick, region = printable_data(tick), printable_data(region)
    kept = tick.get("failedLog")  # a console of the release before has none
    reason = f" ({tick['reason']})" if tick["reason"] else ""
    yield f"{tick['code']} {tick['tickAt']}: {paint(tick['state'])}{reason}, attempt {tick['attempt']}"
    yield f"  {tick['summary']}"
    if tick["remedy"]:
        yield f"  what to do: {tick['remedy']}"
    yield ""
    for step in tick["chain"]:
        mark = "  " if step["ok"] else "! "
        yield f"{mark}{brief(step['at']):<21} {step['source']:<9} {step['text']}"
    if tick["errorMessage"] and not any(tick["errorMessage"] in step["text"] for step in tick["chain"]):
        yield ""
        yield f"{tick['errorClass'] or 'error'}: {message}"
    if kept:
        yield ""
        yield f"last log lines of attempt {kept['attempt']}, which failed:"
        yield from (f"  {line}" for line in kept["lines"])
    if tick["logs"]:
        yield ""
        yield f"logs: {tick['logs']}"
    if region["why"]:
        yield ""
        yield f"the region is {region['state']} now: {region['why']}"
        if region["remedy"]:
            yield f"  what to do: {region['remedy']}"


def moment(text: str) -> datetime:
    """Read a moment of the past. Raises PluginError."""
    try:
        return parse_past(text, now=datetime.now(UTC))
    except ValueError as error:
        raise PluginError(str(error)) from None
