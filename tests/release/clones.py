"""Builds images of a release from a copy of what images are built from, as a clone has the files."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from release.images import IMAGES, Image, build
from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from release.oci import Layout

TIMESTAMP = 1_790_000_000
(TICK,) = (image for image in IMAGES if image.name == "tick")


def clone(folder: Path) -> Path:
    for name in ("requirements", "tick_image", "operator"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for dockerfile in CHECKOUT.glob("Dockerfile.*"):
        shutil.copy(dockerfile, folder)
    return folder


def built(image: Image, checkout: Path, folder: Path) -> Layout:
    return build(image, checkout, folder, python_image=None, timestamp=TIMESTAMP)
