"""The command `forecast`: whether the ticks of the next 24 hours fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kubectl_region.console import Console, ask_each
from kubectl_region.moments import age_of
from kubectl_region.options import output_option, with_cluster
from kubectl_region.output import gather, print_data, printable_data, table, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubectl_region.cluster import Cluster

SHOWN_MINUTES = 20
FRESH_SECONDS = 60
"""Up to which age a forecast is shown as one of now: the console makes a new one when somebody asks."""


@click.command()
@output_option("svg")
@with_cluster
def forecast(cluster: Cluster, output: str | None) -> None:
    """Say whether the ticks of the next 24 hours fit.

    -o svg prints a picture: kubectl region forecast -o svg > forecast.svg
    """
    answers = ask_each(cluster, lambda console: console.get("forecast"))
    if output == "svg":
        for namespace, answer in answers.items():
            click.echo(Console(cluster, namespace).text("forecast", format="svg"))
            if age := age_of(answer, fresh_seconds=FRESH_SECONDS):
                warn(age)
    elif output:
        print_data(gather(answers, everywhere=cluster.everywhere), output)
    else:
        for namespace, answer in printable_data(answers).items():
            if cluster.everywhere:
                click.echo(f"{namespace}:")
            click.echo("\n".join(forecast_text(answer)))


def forecast_text(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the console's sentence, what the forecast reckons with, the worst minutes, and its age if it has one."""
    found = answer["forecast"]
    yield answer["text"]
    tick = found["tick"]
    how = "measured" if tick["measured"] else "assumed"
    yield (
        f"spec.concurrency {found['concurrency']}, spec.capacity.jobsPerSecond {found['jobsPerSecond']:g}, a tick holds"
        f" its slot for {tick['slotSeconds']:.2g} s ({how})"
    )
    bad = [minute for minute in found["minutes"] if minute["late"] or minute["lost"]]
    worst = sorted(bad, key=lambda minute: (-minute["lost"], -minute["late"], minute["at"]))[:SHOWN_MINUTES]
    if worst:
        rows = [[minute["at"], *(f"{minute[key]:,}" for key in ("due", "late", "lost"))] for minute in worst]
        yield table(["MINUTE", "DUE", "LATE", "LOST"], rows)
    if len(bad) > len(worst):
        yield f"and {len(bad) - len(worst)} more minutes with late or lost ticks: -o json has all"
    if age := age_of(answer, fresh_seconds=FRESH_SECONDS):
        yield age
