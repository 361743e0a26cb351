"""What belongs to an image's context, and when it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devcluster.context import copied_paths, digest, gather
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("dockerfile", "paths"),
    [
        ("FROM scratch", []),
        ("COPY a /a", ["a"]),
        ("COPY a b c/ /there/\nADD a /again", ["a", "b", "c/"]),
        ("COPY --chown=1:1 --chmod=755 a /a", ["a"]),
        ("COPY --from=build /venv /venv", []),
        ("COPY a \\\n  b \\\n  /there/", ["a", "b"]),
        ("copy a /a", ["a"]),
        ("ADD https://example.org/a /a", []),
        ("RUN echo COPY a /a", []),
        ("# COPY a /a", []),
    ],
)
def test_copied_paths(dockerfile: str, paths: list[str]) -> None:
    assert copied_paths(dockerfile) == paths


@pytest.mark.parametrize("line", ['COPY ["a", "/a"]', "COPY <<EOF /a"])
def test_forms_that_are_not_read_are_refused(line: str) -> None:
    with pytest.raises(ClusterError, match="write"):
        copied_paths(line)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "app" / "inner").mkdir(parents=True)
    (root / "app" / "inner" / "a.py").write_text("a = 1\n")
    (root / "app" / "__pycache__").mkdir()
    (root / "app" / "__pycache__" / "a.pyc").write_bytes(b"stale")
    (root / "other.lock").write_text("x\n")
    (root / "secret").write_text("not copied\n")
    (root / "Dockerfile.x").write_text("FROM scratch\nCOPY app /app\nCOPY *.lock /\n")
    return root


def gathered(checkout: Path, folder: Path) -> str:
    folder.mkdir()
    gather(checkout / "Dockerfile.x", folder)
    return digest(folder, {})


def test_gather_takes_what_is_copied_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "context"
    gathered(checkout, folder)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"Dockerfile", "app/inner/a.py", "other.lock"}


def test_gather_names_what_is_not_there(checkout: Path, tmp_path: Path) -> None:
    (checkout / "other.lock").unlink()
    with pytest.raises(ClusterError, match=r"copies \*\.lock, which is not in"):
        gathered(checkout, tmp_path / "context")


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        (lambda root: (root / "app" / "inner" / "a.py").write_text("a = 2\n"), True),
        (lambda root: (root / "app" / "inner" / "a.py").chmod(0o755), True),
        (lambda root: (root / "app" / "inner" / "a.py").rename(root / "app" / "inner" / "b.py"), True),
        (lambda root: (root / "Dockerfile.x").write_text("FROM scratch\nCOPY app /b\nCOPY *.lock /\n"), True),
        (lambda root: (root / "secret").write_text("changed\n"), False),
        (lambda root: (root / "app" / "__pycache__" / "a.pyc").write_bytes(b"fresh"), False),
    ],
)
def test_the_digest_follows_what_is_built(
    checkout: Path, tmp_path: Path, change: Callable[[Path], object], changes: bool
) -> None:
    before = gathered(checkout, tmp_path / "before")
    change(checkout)
    assert (gathered(checkout, tmp_path / "after") != before) is changes


def test_the_digest_follows_the_arguments(tmp_path: Path) -> None:
    assert digest(tmp_path, {"A": "1"}) != digest(tmp_path, {"A": "2"})
    assert digest(tmp_path, {"A": "1", "B": "2"}) == digest(tmp_path, {"B": "2", "A": "1"})
