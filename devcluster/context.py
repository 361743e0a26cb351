"""Gathers an image's build context: the Dockerfile and the files that the Dockerfile copies, and no other files.

The files that are hashed must be the files that are built. Both steps therefore use a copy in a folder of its own.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from typing import TYPE_CHECKING

from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".git", ".mypy_cache", ".ruff_cache", "*.egg-info")


def copied_paths(dockerfile: str) -> list[str]:
    """Return the paths that COPY and ADD take from the context, in order and without duplicates.

    Copies from other stages and from URLs are left out. Raises ClusterError for forms that this function does not
    understand (JSON arrays, here-documents).
    """
    paths: dict[str, None] = {}
    for line in dockerfile.replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction.upper() not in ("COPY", "ADD"):
            continue
        if rest.lstrip().startswith("[") or "<<" in rest:
            message = f"Dockerfile: write `{line.strip()}` as `{instruction} SOURCE... TARGET`"
            raise ClusterError(message)
        words = shlex.split(rest)
        options, names = [w for w in words if w.startswith("--")], [w for w in words if not w.startswith("--")]
        if not any(option.startswith("--from=") for option in options):
            paths.update(dict.fromkeys(name for name in names[:-1] if "://" not in name))
    return list(paths)


def gather(dockerfile: Path, folder: Path) -> None:
    """Copy the Dockerfile (as `Dockerfile`) and the files that the Dockerfile copies into the empty `folder`.

    The files' paths are relative to the Dockerfile's folder. Raises ClusterError if a copied file does not exist.
    """
    root = dockerfile.parent
    shutil.copyfile(dockerfile, folder / "Dockerfile")
    for pattern in copied_paths(dockerfile.read_text()):
        matches = [root] if pattern in (".", "./") else sorted(root.glob(pattern.strip("/")))
        if not matches:
            message = f"{dockerfile} copies {pattern}, which is not in {root}"
            raise ClusterError(message)
        for source in matches:
            _copy(source, folder / source.relative_to(root))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=_IGNORED, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def digest(folder: Path, arguments: Mapping[str, str]) -> str:
    """Return a hash of 16 hex digits over each file's path, content and executable bits, and over the arguments."""
    hashed = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        hashed.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o111:o}\0{path.stat().st_size}\0".encode())
        hashed.update(path.read_bytes())
    hashed.update(repr(sorted(arguments.items())).encode())
    return hashed.hexdigest()[:16]
