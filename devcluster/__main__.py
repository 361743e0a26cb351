"""The command: `python -m devcluster up|down|status|kubeconfig|images|demo`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Column, Table

from devcluster import demo, images, progress
from devcluster.choose import choose
from devcluster.errors import ClusterError
from devcluster.postgres import PostgresError
from devcluster.state import Record, alive, clusters_home
from region_tick.contract import VERSION

_CHECKOUT = Path(__file__).resolve().parent.parent
_name = click.option("--name", default="region-tick", show_default=True, help="The cluster's name.")


@click.group()
def main() -> None:
    """A real local Kubernetes for the demo, the tests and development.

    CLUSTER chooses it: `local` (processes of this machine, built once from source), `kind` (needs Docker), or `current`
    (the cluster of your kubeconfig, whose context CLUSTER_CONTEXT must name). Unset, it is kind where Docker and kind
    are there, else local.
    """


@main.command()
@_name
@click.option(
    "--node/--no-node",
    default=True,
    show_default=True,
    help="With a node that runs pods (needs root), or the control plane alone.",
)
def up(name: str, *, node: bool) -> None:
    """Starts the cluster; harmless where it runs."""
    cluster = choose(os.environ).up(name, node=node)
    progress.console.print(f"Cluster {cluster.name} is up. Look around: export KUBECONFIG={cluster.kubeconfig}")


@main.command()
@_name
def down(name: str) -> None:
    """Stops the cluster and removes all that is left of it, also after a crash."""
    stopped = choose(os.environ).down(name)
    progress.console.print(f"Cluster {name} is stopped." if stopped else f"There is no cluster {name}.")


@main.command()
def status() -> None:
    """Lists the clusters of CLUSTER=local, with or without life."""
    table = Table("NAME", "STATE", "NODE", "API SERVER", Column("LOGS", overflow="fold"), box=None, pad_edge=False)
    home = clusters_home()
    for folder in sorted(home.iterdir()) if home.exists() else ():
        if record := Record.read(folder):
            state = "dead" if not alive(folder) else "ready" if record.ready else "starting"
            layout = record.layout(folder)
            table.add_row(folder.name, state, "yes" if record.node else "no", layout.server, str(layout.logs))
    Console(soft_wrap=True).print(table)


@main.command()
@_name
def kubeconfig(name: str) -> None:
    """Prints the path of the cluster's kubeconfig."""
    cluster = choose(os.environ).find(name)
    if cluster is None:
        message = f"cluster {name!r} does not run: start it with `python -m devcluster up --name {name}`"
        raise ClusterError(message)
    click.echo(cluster.kubeconfig)


@main.command("images")
@_name
def build_images(name: str) -> None:
    """Builds each Dockerfile.NAME of the checkout as region-tick/NAME:VERSION and, where the cluster runs, loads it
    there.
    """
    cluster = choose(os.environ).find(name)
    table = Table("IMAGE", Column("ARCHIVE", overflow="fold"), box=None, pad_edge=False)
    for dockerfile in sorted(_CHECKOUT.glob("Dockerfile.*")):
        tag = f"region-tick/{dockerfile.suffix[1:]}:{VERSION}"
        archive = images.build(dockerfile, tag)
        if cluster:
            with progress.step(f"loading {tag} into {cluster.name}"):
                cluster.load_image(archive)
        table.add_row(tag, str(archive))
    Console(soft_wrap=True).print(table)


@main.command("demo")
@click.option("--down", is_flag=True, help="Stop what the demo left running.")
def show_demo(*, down: bool) -> None:
    """Shows the whole thing; with a terminal it is left running to look around, else it cleans up after itself."""
    if down:
        demo.down()
    else:
        demo.run(keep=sys.stdout.isatty())


def run() -> None:
    """The command, with our own errors as messages instead of tracebacks."""
    try:
        main(prog_name="python -m devcluster")
    except (ClusterError, PostgresError) as error:
        progress.console.print(f"Error: {error}", style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    run()
