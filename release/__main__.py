"""The commands of a release. `make release` runs `build` and `assemble`; the release workflow runs all three."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from devcluster import commands
from devcluster.errors import ClusterError
from region_tick.contract import VERSION
from release import assembly
from release.images import IMAGES, build
from release.publish import attach, push, refuse_other_content
from release.sbom import CYCLONEDX

_CHECKOUT = Path(__file__).resolve().parent.parent
_out = click.option(
    "--out", type=click.Path(path_type=Path), default=_CHECKOUT / "dist", help="The files' folder. [default: dist]"
)
_registry = click.option(
    "--registry", envvar="REGISTRY", required=True, help="Where the images will be, e.g. registry.example.com."
)
_timestamp = click.option(
    "--timestamp",
    envvar="SOURCE_DATE_EPOCH",
    type=int,
    default=lambda: _commit_time(),
    help="The time of all that is made, in seconds since 1970. [default: the commit's]",
)


def _commit_time() -> int:
    try:
        return int(commands.run("git", "-C", str(_CHECKOUT), "log", "-1", "--format=%ct", seconds=30))
    except ClusterError as error:
        message = f"no commit gives the time of the release, so give --timestamp or SOURCE_DATE_EPOCH: {error}"
        raise ClusterError(message) from error


@click.group()
def main() -> None:
    """Makes a release's files, so that another person who makes them gets the same bytes."""


@main.command("build")
@_out
@_timestamp
@click.option("--python-image", envvar="PYTHON_IMAGE", help="What the images are FROM. [default: a local Debian]")
def build_images(out: Path, timestamp: int, python_image: str | None) -> None:
    """Build the images for this machine's platform."""
    for image in IMAGES:
        built = build(image, _CHECKOUT, out / "platforms", python_image=python_image or None, timestamp=timestamp)
        click.echo(f"{built.root['digest']} {built.folder.relative_to(out)}")


@main.command()
@_out
@_timestamp
@_registry
def assemble(out: Path, timestamp: int, registry: str) -> None:
    """Join the platforms' images, list what is in them, and write install.yaml, the chart and the checksums."""
    assembly.assemble(_CHECKOUT, out, registry, timestamp=timestamp)
    click.echo((out / assembly.CHECKSUMS).read_text(), nl=False)


@main.command("push")
@_out
@_registry
@click.option("--plain-http", is_flag=True, help="The registry has no TLS.")
@click.option("--sboms", is_flag=True, help="Attach the SBOMs to the images. The registry must know referrers.")
def push_images(out: Path, registry: str, *, plain_http: bool, sboms: bool) -> None:
    """Push the images that `assemble` made, or nothing if the registry has other content under one of their tags."""
    images = assembly.assembled(out)
    for image in images:
        refuse_other_content(image.layout, f"{registry}/{image.repository}:{VERSION}", plain_http=plain_http)
    for image in images:
        repository = f"{registry}/{image.repository}"
        push(image.layout, f"{repository}:{VERSION}", plain_http=plain_http)
        for platform in image.platforms if sboms else ():
            attach(platform.sbom.read_bytes(), CYCLONEDX, platform.descriptor, repository, plain_http=plain_http)
        click.echo(f"{repository}@{image.layout.root['digest']}")


if __name__ == "__main__":
    try:
        main(prog_name=f"{Path(sys.executable).name} -m release")
    except (ClusterError, OSError) as error:
        click.echo(error, err=True)
        sys.exit(os.EX_UNAVAILABLE)
