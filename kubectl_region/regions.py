"""The commands `list`, `get` and `next`: regions, as the console knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kubectl_region.console import ask_each, find_region
from kubectl_region.moments import ago, now_of
from kubectl_region.options import output_option, with_cluster
from kubectl_region.output import cut, gather, paint, print_data, printable, printable_data, table, warn
from kubectl_region.tick_text import recent, tick_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from kubectl_region.cluster import Cluster
    from kubectl_region.console import Console

NONE_FOUND = "No regions found"


@click.command("list")
@click.option("--state", help="Only in these states or with these troubles, e.g. paused,failing,late.")
@click.option("--code", help="Only codes that begin so, or that match a glob such as 'FR-*'.")
@click.option("--sort", help="By code, name, state, next, lastSuccess, late or trouble.")
@output_option("wide", "name")
@with_cluster
def list_regions(cluster: Cluster, state: str | None, code: str | None, sort: str | None, output: str | None) -> None:
    """List the regions.

    RECENT are the last ten ticks, the newest first: . succeeded, F failed, M missed, s skipped, r running, i
    interrupted.
    """
    answers = ask_each(cluster, lambda console: _all(console, state, code, sort))
    if output in ("json", "yaml"):
        print_data(gather(answers, everywhere=cluster.everywhere), output)
    elif not any(answer["items"] for answer in answers.values()):
        by_code = code and not state and not any(mark in code for mark in "*?")
        warn(NONE_FOUND + "; what became of one that is gone: kubectl region get CODE" * bool(by_code))
    elif output == "name":
        click.echo("\n".join(printable(region["code"]) for answer in answers.values() for region in answer["items"]))
    else:
        click.echo(list_text(answers, everywhere=cluster.everywhere, wide=output == "wide"))


def _all(console: Console, state: str | None, code: str | None, sort: str | None) -> dict[str, Any]:
    """Return all pages as one."""
    first, *others = console.pages("regions", state=state, code=code, sort=sort)
    items = [*first["items"], *(region for page in others for region in page["items"])]
    return first | {"items": items, "page": 1, "pages": 1}


def list_text(answers: Mapping[str, Mapping[str, Any]], *, everywhere: bool, wide: bool) -> str:
    """Return the table of regions."""
    headers = ["CODE", "STATE", "SCHEDULE", "NEXT", "LAST TICK", "RESULT", "RECENT"]
    headers += ["NAME", "LAST SUCCESS", "LATE BY", "WHY"] * wide
    rows = [
        [namespace] * everywhere + _row(region, now_of(answer), wide=wide)
        for namespace, answer in answers.items()
        for region in answer["items"]
    ]
    return table(["NAMESPACE"] * everywhere + headers, rows, painted=("STATE", "RESULT"))


def _row(region: Mapping[str, Any], now: datetime, *, wide: bool) -> list[str]:
    last = region["lastTick"] or {"tickAt": None, "state": "-"}
    row = [cut(region["code"]), region["state"], region["written"], ago(region["next"], now)]
    row += [ago(last["tickAt"], now), last["state"], recent(region["recent"])]
    late = region["lateByIntervals"]
    more = [region["name"], ago(region["lastSuccess"], now), f"{late:.1f}x" if late else "-", region["why"] or "-"]
    return row + more * wide


@click.command()
@click.argument("code")
@output_option()
@with_cluster
def get(cluster: Cluster, code: str, output: str | None) -> None:
    """Show all about one region."""
    answers = find_region(cluster, code)
    if output:
        print_data(gather(answers, everywhere=cluster.everywhere), output)
        return
    for namespace, region in answers.items():
        click.echo("\n".join(region_text(region, namespace if cluster.everywhere else "")))


def region_text(region: Mapping[str, Any], namespace: str = "") -> Iterator[str]:
    """Yield the lines that describe a region."""
    now, ticks = now_of(region), region["ticks"]
    region = printable_data(region)
    facts = {
        "Namespace": namespace,
        "Code": region["code"],
        "Name": region["name"],
        "Id": region["regionId"],
        "State": paint(region["state"]),
        "Why": region["why"],
        "What to do": region["remedy"],
        "Schedule": _schedule(region),
        "Next ticks": ", ".join(region["nextTicks"]),
        "Last success": _with_age(region["lastSuccess"], now),
        "Paused": _pause(region["pause"]),
        "CronJob": _cronjob(region["cronJob"], now),
        "Creators": _members(region["creators"]),
        "Tasks": _members(region["tasks"]),
    }
    facts |= {f"Row.{column}": text for column, text in region["row"].items()}
    width = max(map(len, facts)) + 1
    yield from (f"{name + ':':<{width}} {text}" for name, text in facts.items() if text)
    if ticks:
        yield ""
        yield tick_table(ticks, now)


def _schedule(region: Mapping[str, Any]) -> str:
    if not region["words"]:  # it is gone, or has had no CronJob yet
        return str(region["written"])
    made = f" (made {region['schedule']})" if region["schedule"] not in (None, region["written"]) else ""
    return f"{region['written']}{made}, UTC: {region['words']}"


def _with_age(time: str | None, now: datetime) -> str:
    return f"{time} ({ago(time, now)})" if time else "never, as far as the ledger knows"


def _pause(pause: Mapping[str, Any] | None) -> str:
    if pause is None:
        return ""
    told = [f"{word} {pause[word]}" for word in ("by", "since", "until") if pause[word]]
    return ", ".join([*told, *([pause["reason"]] if pause["reason"] else [])]) or "nobody knows by whom"


def _cronjob(cronjob: Mapping[str, Any] | None, now: datetime) -> str:
    if cronjob is None:
        return "none"
    text = str(cronjob["name"])
    if cronjob["suspended"]:
        # Right after a pause the ledger does not know yet by whom.
        text += ", suspended" + (f" ({cronjob['suspendedBy']})" if cronjob["suspendedBy"] else "")
    changes = [f"{change['manager']} {ago(change['time'], now)}" for change in cronjob["changedBy"]]
    return f"{text}; changed by {', '.join(changes)}" if changes else text


def _members(members: Mapping[str, Any] | None) -> str:
    if members is None:
        return ""
    counts = ", ".join(f"{count} {name}" for name, count in members.items() if isinstance(count, int))
    return f"{counts}; last error: {members['lastError']}" if members.get("lastError") else counts


@click.command("next")
@click.argument("code", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many ticks.")
@output_option()
@with_cluster
def next_ticks(cluster: Cluster, code: str | None, limit: int, output: str | None) -> None:
    """Say when regions tick next."""
    if code:
        answers = {name: _next_of(region) for name, region in find_region(cluster, code).items()}
    else:
        answers = ask_each(cluster, lambda console: console.get("next", limit=limit))
    if output:
        print_data(gather(answers, everywhere=cluster.everywhere), output)
        return
    rows = [
        [namespace] * cluster.everywhere + [item["code"], item["at"], ago(item["at"], now_of(answer))]
        for namespace, answer in answers.items()
        for item in answer["items"]
    ]
    if rows:
        click.echo(table(["NAMESPACE"] * cluster.everywhere + ["CODE", "AT", "IN"], rows))
    for namespace, answer in answers.items():
        if not answer["items"]:
            warn(f"{namespace}: {answer.get('why') or 'no tick is to come'}")


def _next_of(region: Mapping[str, Any]) -> dict[str, Any]:
    """Return the next ticks of one region in the form of those of all."""
    keys = ("apiVersion", "now", "code", "regionId")
    items = [{"code": region["code"], "regionId": region["regionId"], "at": at} for at in region["nextTicks"]]
    return {key: region[key] for key in keys} | {"kind": "NextTicks", "items": items, "why": region["why"]}
