"""Builds the images of a release, for the platform of this machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from devcluster import buildah, context
from region_tick.contract import VERSION
from release.oci import Layout, platform_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of a release: `region-tick/NAME`."""

    name: str
    dockerfile: str
    target: str | None = None

    @property
    def repository(self) -> str:
        return f"region-tick/{self.name}"


IMAGES = (
    Image(name="operator", dockerfile="Dockerfile.operator"),
    Image(name="tick", dockerfile="Dockerfile.tick"),
    Image(name="worker", dockerfile="Dockerfile.tick", target="worker"),
)


def build(image: Image, checkout: Path, platforms: Path, *, python_image: str | None, timestamp: int) -> Layout:
    """Build an image from the files of `checkout` into platforms/ARCHITECTURE/NAME, an OCI layout.

    `python_image` is what the Dockerfiles are FROM; without a name, a local Debian. `timestamp`, in seconds since 1970,
    is the time of everything in the image. Raises ClusterError if the build fails, and OSError if the layout exists.
    """
    platforms.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=platforms, prefix=".build-") as folder:
        source, built = Path(folder) / "source", Layout(Path(folder) / image.name)
        source.mkdir()
        context.gather(checkout / image.dockerfile, source)
        buildah.build(
            source,
            f"{image.repository}:{VERSION}",
            destination=f"oci:{built.folder}:{VERSION}",
            target=image.target,
            python_image=python_image,
            timestamp=timestamp,
        )
        target = platforms / platform_of(built)["architecture"] / image.name
        target.parent.mkdir(exist_ok=True)
        return Layout(built.folder.rename(target))
