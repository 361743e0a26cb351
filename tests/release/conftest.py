"""The tick image of a release, built once for the tests that look at the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.release.clones import TICK, built, clone

if TYPE_CHECKING:
    from release.oci import Layout


@pytest.fixture(scope="package")
def tick_image(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = tmp_path_factory.mktemp("release")
    return built(TICK, clone(folder / "clone"), folder / "platforms")
