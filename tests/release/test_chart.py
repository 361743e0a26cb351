"""The chart of a release is the checkout's, with every image from the registry by digest, and always the same bytes."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from typing import TYPE_CHECKING

import yaml

from release.chart import chart_package
from release.images import IMAGES
from tests.harness.operator_process import CHECKOUT
from tests.release.clones import TIMESTAMP

if TYPE_CHECKING:
    from pathlib import Path

DIGESTS = {image.repository: f"sha256:{digit * 64}" for image, digit in zip(IMAGES, "abc", strict=True)}


def package(checkout: Path = CHECKOUT) -> bytes:
    return chart_package(checkout, "registry.example.com", DIGESTS, timestamp=TIMESTAMP)


def files(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        return {member.name: content.extractfile(member).read().decode() for member in content}  # type: ignore[union-attr]


def test_it_is_the_chart_with_the_images_of_the_registry_by_digest() -> None:
    packed = files(package())
    chart = CHECKOUT / "chart"
    expected = {f"region-tick/{path.relative_to(chart)}": path.read_text() for path in chart.rglob("*.*")}
    values, about = "region-tick/values.yaml", "region-tick/Chart.yaml"
    for repository in DIGESTS:
        there = f"repository: {repository},"
        assert expected[values].count(there) == 1
        expected[values] = expected[values].replace(there, f"repository: registry.example.com/{repository},")
    annotations = yaml.safe_load(packed[about]).pop("annotations")
    assert annotations == {f"region-tick.dev/{image.name}-digest": DIGESTS[image.repository] for image in IMAGES}
    assert packed.pop(about).startswith(expected.pop(about))
    assert packed == expected


def test_all_that_is_in_it_has_the_time_of_the_release() -> None:
    """RFC 1952, 2.3: the time of a gzip file is in its bytes 4 to 7."""
    assert int.from_bytes(package()[4:8], "little") == TIMESTAMP
    with tarfile.open(fileobj=io.BytesIO(package())) as content:
        assert {member.mtime for member in content} == {TIMESTAMP}


def test_a_clone_with_other_file_times_gives_the_same_bytes(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "chart", tmp_path / "chart")
    for path in (tmp_path / "chart").rglob("*"):
        path.chmod(0o700)
        os.utime(path, (0, 0))
    assert package(tmp_path) == package()
