"""Makes the files of a release from the images of each platform.

dist/platforms/ARCHITECTURE/NAME   the image of one platform, by `build`, perhaps on another machine
dist/images/NAME                   the index of all platforms
dist/assets/                       what a release's page has: SBOMs, install.yaml, the Helm chart, images.txt, base.txt,
                                   SHA256SUMS
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devcluster.errors import ClusterError
from region_tick.contract import VERSION
from release.chart import chart_package
from release.images import IMAGES
from release.install_yaml import install_yaml
from release.oci import Descriptor, Layout, write_index
from release.sbom import sbom

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CHECKSUMS = "assets/SHA256SUMS"
_CHART = f"assets/region-tick-{VERSION}.tgz"
_BASE = "org.opencontainers.image.base.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """An image of one platform, as the index names the image, and its SBOM."""

    descriptor: Descriptor
    sbom: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """An image of all platforms."""

    repository: str
    layout: Layout
    platforms: tuple[Platform, ...]


def assemble(checkout: Path, out: Path, registry: str, *, timestamp: int) -> None:
    """Make dist/images and dist/assets anew from dist/platforms. Raises ClusterError."""
    for folder in ("images", "assets"):
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir(parents=True)
    digests, bases = {}, set()
    for image in IMAGES:
        platforms = [Layout(path.parent) for path in sorted(out.glob(f"platforms/*/{image.name}/index.json"))]
        if not platforms:
            message = f"{out / 'platforms'} has no image {image.name}: run `python -m release build` first"
            raise ClusterError(message)
        for platform in platforms:
            asset = _sbom_path(out, image.name, platform.folder.parent.name)
            asset.write_bytes(sbom(platform, image.repository, VERSION, timestamp=timestamp))
            bases.add(platform.read(platform.root)["annotations"][_BASE])
        digests[image.repository] = write_index(platforms, out / "images" / image.name).root["digest"]
    (out / "assets/install.yaml").write_text(install_yaml(checkout, registry, digests))
    (out / _CHART).write_bytes(chart_package(checkout, registry, digests, timestamp=timestamp))
    _write_lines(out / "assets/images.txt", (f"{registry}/{name}@{digest}" for name, digest in digests.items()))
    _write_lines(out / "assets/base.txt", sorted(bases))
    _write_checksums(out)


def _write_checksums(out: Path) -> None:
    """Write the checksums of all assets, in the format that `sha256sum --check` reads."""
    assets = sorted(path for path in (out / "assets").iterdir() if path != out / CHECKSUMS)
    _write_lines(out / CHECKSUMS, (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in assets))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def assembled(out: Path) -> list[Assembled]:
    """Return the images that `assemble` made."""
    return [_assembled(out, image.name, image.repository) for image in IMAGES]


def _assembled(out: Path, name: str, repository: str) -> Assembled:
    layout = Layout(out / "images" / name)
    platforms = tuple(
        Platform(descriptor=descriptor, sbom=_sbom_path(out, name, descriptor["platform"]["architecture"]))
        for descriptor in layout.read(layout.root)["manifests"]
    )
    return Assembled(repository=repository, layout=layout, platforms=platforms)


def _sbom_path(out: Path, name: str, architecture: str) -> Path:
    return out / "assets" / f"{name}-{architecture}.cdx.json"
