"""What a release's page gets: each file is there, has its checksum, and is the same when the release is made again."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from region_tick.contract import VERSION
from release.assembly import CHECKSUMS, assemble, assembled
from release.images import IMAGES
from tests.harness.operator_process import CHECKOUT
from tests.release.clones import TIMESTAMP
from tests.release.small_images import BASE, write_platforms

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(900)


def made(out: Path) -> Path:
    write_platforms(out)
    assemble(CHECKOUT, out, "registry.example.com", timestamp=TIMESTAMP)
    return out


def test_a_release_that_is_made_again_has_the_same_checksums(tmp_path: Path) -> None:
    first, second = made(tmp_path / "first"), made(tmp_path / "second")
    assert (first / CHECKSUMS).read_text() == (second / CHECKSUMS).read_text()
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    checked = subprocess.run(command, cwd=first / "assets", capture_output=True, text=True, check=True, timeout=30)
    names = {path.name for path in (first / "assets").iterdir()}
    assert {line.partition(":")[0] for line in checked.stdout.splitlines()} == names - {"SHA256SUMS"}
    sboms = {f"{image.name}-amd64.cdx.json" for image in IMAGES}
    files = {"install.yaml", "images.txt", "base.txt", "SHA256SUMS", f"region-tick-{VERSION}.tgz"}
    assert names == sboms | files
    assert (first / "assets/base.txt").read_text() == f"{BASE}\n"
    digests = [f"registry.example.com/{image.repository}@{image.layout.root['digest']}" for image in assembled(first)]
    assert (first / "assets/images.txt").read_text().splitlines() == digests
