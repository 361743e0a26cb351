"""The command `version`: of this side, and of the cluster's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kubectl_region.options import output_option, with_cluster
from region_tick.contract import VERSION

if TYPE_CHECKING:
    from kubectl_region.cluster import Cluster

PARTS = ("console", "operator", "schemaRevision")


@click.command()
@click.option("--client", is_flag=True, help="Only of the plugin: ask no cluster.")
@output_option()
@with_cluster
def version(cluster: Cluster, client: bool, output: str | None) -> None:
    """Print the versions of plugin, console, operator and schema."""
    if not output:
        click.echo(f"plugin: {VERSION}")
    answers: dict[str, dict[str, Any]] = {"": {}} if client else _ask(cluster)
    if output:
        from kubectl_region.output import gather, print_data

        told = {namespace: {"plugin": VERSION} | answer for namespace, answer in answers.items()}
        print_data(gather(told, everywhere=cluster.everywhere and not client), output)
        return
    from kubectl_region.output import printable

    for namespace, answer in answers.items():
        if cluster.everywhere and not client:
            click.echo(f"{namespace}:")
        for part, found in answer.items():
            click.echo(f"{part}: {printable(found or 'unknown')}")


def _ask(cluster: Cluster) -> dict[str, dict[str, Any]]:
    from kubectl_region.console import Console, ask_each

    def ask(console: Console) -> dict[str, Any]:
        versions = console.get()["versions"]
        return {part: versions[part] for part in PARTS}

    return ask_each(cluster, ask)
