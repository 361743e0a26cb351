"""Which Go fits."""

from __future__ import annotations

import pytest

from devcluster.toolchain import go_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27rc1 linux/amd64", (1, 27)),
        ("go 1.26.6", (1, 26, 6)),
        ("go 1.26", (1, 26)),
        ("go version devel", ()),
        ("", ()),
    ],
)
def test_go_version(text: str, version: tuple[int, ...]) -> None:
    assert go_version(text) == version


def test_versions_compare_as_numbers() -> None:
    assert go_version("go1.9.1") < go_version("go 1.26.0") < go_version("go1.26.10")
