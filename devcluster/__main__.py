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
from devcluster.errors import ClusterError, PostgresError
from devcluster.state import Record, alive, clusters_home
from region_tick.contract import VERSION

_CHECKOUT = Path(__file__).resolve().parent.parent
_name = click.option("--name", default="region-tick", show_default=True, help="The cluster's name.")


@click.group()
def main() -> None:
    """A real local Kubernetes for the demo, the tests and development.

    The variable CLUSTER chooses the provider: `local` (processes of this machine, built once from source), `kind`
    (needs Docker), or `current` (the cluster of your kubeconfig; CLUSTER_CONTEXT must name the context). Without
    CLUSTER, the provider is kind if Docker and kind are installed, and otherwise local.
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
    """Start the cluster. A running cluster stays as it is."""
    cluster = choose(os.environ).up(name, node=node)
    progress.console.print(f"Cluster {cluster.name} is up. Look around: export KUBECONFIG={cluster.kubeconfig}")


@main.command()
@_name
def down(name: str) -> None:
    """Stop the cluster and remove all its leftovers, also after a crash."""
    stopped = choose(os.environ).down(name)
    progress.console.print(f"Cluster {name} is stopped." if stopped else f"There is no cluster {name}.")


@main.command()
def status() -> None:
    """List the clusters of CLUSTER=local, dead clusters included."""
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
    """Print the path of the cluster's kubeconfig."""
    cluster = choose(os.environ).find(name)
    if cluster is None:
        message = f"cluster {name!r} does not run: start it with `python -m devcluster up --name {name}`"
        raise ClusterError(message)
    click.echo(cluster.kubeconfig)


@main.command("images")
@_name
def build_images(name: str) -> None:
    """Build each Dockerfile.NAME of the checkout as region-tick/NAME:VERSION.

    If the cluster runs, load the images into the cluster.
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
    """Show the whole project at work. On a terminal, the demo keeps running to look around; otherwise it cleans up."""
    if down:
        demo.down()
    else:
        demo.run(keep=sys.stdout.isatty())


def run() -> None:
    """Run the command. The package's own errors are printed as messages without a traceback."""
    try:
        main(prog_name="python -m devcluster")
    except (ClusterError, PostgresError) as error:
        progress.console.print(f"Error: {error}", style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    run()
