"""Which Postgres a person gets; that the others are installed and run is shown by tests/database/test_versions.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devcluster import pypi
from devcluster.errors import ClusterError
from devcluster.postgres_programs import chosen_major

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("environ", "major"), [({}, 18), ({"POSTGRES": ""}, 18), ({"POSTGRES": "14"}, 14)])
def test_postgres_names_the_version(environ: dict[str, str], major: int) -> None:
    assert chosen_major(environ) == major


def test_another_version_is_refused_with_those_that_are_possible() -> None:
    with pytest.raises(ClusterError, match=r"'9\.6' is unknown: use one of 14, 15, 16, 17, 18"):
        chosen_major({"POSTGRES": "9.6"})


def test_what_cannot_be_installed_is_named_by_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # as where no registry answers
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lock = tmp_path / "gone.lock"
    lock.write_text(f"gone==1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ClusterError, match=r"pip cannot install what gone\.lock pins:(.|\n)*gone"):
        pypi.install(lock, tmp_path / "target")
