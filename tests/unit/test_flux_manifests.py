"""manifests/gitops/flux: the sources name the release. What Flux makes of the files, tests/gitops sees."""

from __future__ import annotations

from pathlib import Path

import yaml

from region_tick.contract import VERSION

FLUX = Path(__file__).parents[2] / "manifests/gitops/flux"


def test_the_sources_name_the_release() -> None:
    tags = [yaml.safe_load((FLUX / file).read_text())["spec"]["ref"]["tag"] for file in ("oci.yaml", "git.yaml")]
    assert tags == [VERSION, f"v{VERSION}"]
