"""Two builds of an image from two clones have the same digest, and no layer has what a build leaves behind."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from devcluster import buildah
from release.images import IMAGES, Image
from tests.harness.long import LONG
from tests.release.clones import TICK, TIMESTAMP, built, clone

if TYPE_CHECKING:
    from pathlib import Path

    from release.oci import Layout

pytestmark = [pytest.mark.xdist_group("release"), pytest.mark.timeout(900)]


@pytest.mark.long
@pytest.mark.parametrize("image", IMAGES if LONG else [TICK], ids=lambda image: image.name)
def test_a_clone_elsewhere_by_somebody_else_gives_the_same_digest(
    image: Image, tick_image: Layout, tmp_path: Path
) -> None:
    """The other clone has other file times, and the rights of a umask that lets nobody else read."""
    first = tick_image if image == TICK else built(image, clone(tmp_path / "clone"), tmp_path / "first")
    other = clone(tmp_path / "in" / "another" / "folder")
    for path in sorted(other.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (0, 0))
    assert built(image, other, tmp_path / "second").root["digest"] == first.root["digest"]


def test_all_that_a_build_adds_has_the_time_of_the_release(tick_image: Layout) -> None:
    configuration = tick_image.read(tick_image.read(tick_image.root)["config"])
    base, *added = tick_image.read(tick_image.root)["layers"]
    assert base["size"] > sum(layer["size"] for layer in added)
    for layer in added:
        with tarfile.open(tick_image.blob(layer)) as content:
            assert {member.mtime for member in content} == {TIMESTAMP}
    assert configuration["created"] == "2026-09-21T14:13:20Z"


def test_the_image_is_small(tick_image: Layout) -> None:
    """A tick starts on any node at any minute, so a node that lacks the image pulls it first."""
    size = sum(layer["size"] for layer in tick_image.read(tick_image.root)["layers"])
    print(f"\n{size / 1e6:.1f} MB, compressed")
    assert size <= 70_000_000


def test_an_image_names_its_base(tick_image: Layout) -> None:
    """Whoever makes the release again needs the name, which is part of the image."""
    annotations = tick_image.read(tick_image.root)["annotations"]
    assert annotations["org.opencontainers.image.base.name"] == buildah.base_name()


def test_no_layer_has_logs_or_caches_or_what_the_host_lent(tick_image: Layout) -> None:
    """pip's cache, apt's lists, the host's certificates and the address of a mirror stay outside."""
    _, *added = tick_image.read(tick_image.root)["layers"]
    tops = set()
    for layer in added:
        with tarfile.open(tick_image.blob(layer)) as content:
            paths = [member.name for member in content if not member.isdir()]
        tops |= {"/".join(path.split("/")[:2]) for path in paths}
    assert tops == {"opt/region-tick", "usr/lib"}


def test_the_image_runs_as_a_user_without_rights_and_needs_no_shell(tick_image: Layout) -> None:
    settings = tick_image.read(tick_image.read(tick_image.root)["config"])["config"]
    assert settings["User"] == "65532:65532"
    assert settings["Entrypoint"][0] == "/opt/region-tick/bin/python"
