"""Runs tests with a shifted clock, so that a day ends in UTC while the tests run.

    python -m tests.harness.midnight tests/unit tests/database

The tests, Postgres and every process that the tests start share the shifted clock. The clock runs on as usual. DAYS has
the last days of a month, of February, and of February in a leap year.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import another_time, debian

if TYPE_CHECKING:
    from collections.abc import Mapping

DAYS = ("2026-11-28", "2026-11-30", "2027-02-28", "2028-02-29")
BEGIN = "23:58:30"
"""The time (UTC) at which the tests begin: midnight comes when about half of the tests are done."""
LEFT_OUT = ("--ignore=tests/unit/test_devcluster_images.py",)
"""This test compares the clock with the times of files. The times of files come from the kernel, without the shift."""
TODAY = "import datetime; print(datetime.datetime.now(datetime.UTC).date())"
"""A program that prints the UTC day."""
COMPILER = debian.Part("cc", "gcc", "compiles the library that shifts the clock of tests and Postgres")


def compiled(folder: Path) -> Path:
    """Compile the library that shifts the clock, for LD_PRELOAD, and return its path."""
    library = folder / "another_time.so"
    source = Path(__file__).with_name("another_time.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source, "-ldl"], check=True)
    folder.chmod(0o755)  # Postgres runs as somebody else
    return library


def environment(day: str, library: Path) -> dict[str, str]:
    """Return the variables that shift a process's clock to BEGIN on `day` (YYYY-MM-DD). Child processes inherit the
    shift.
    """
    ahead = datetime.fromisoformat(f"{day}T{BEGIN}+00:00") - datetime.now(UTC)
    return {"LD_PRELOAD": str(library), another_time.SECONDS: f"{ahead.total_seconds():.0f}"}


def main() -> None:
    """Run pytest with the given arguments at the end of each day of DAYS. Exit with 1 if a test failed."""
    debian.complete_path()
    debian.ensure((COMPILER,))
    failed = False
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        library = compiled(Path(folder))
        for day in DAYS:
            print(f"== {day} {BEGIN} UTC", flush=True)
            shifted = os.environ | environment(day, library)
            if run_python("-c", TODAY, env=shifted) != day:
                sys.exit(f"the clock is not shifted: the library {library} was not loaded")
            command = [sys.executable, "-m", "pytest", *LEFT_OUT, *sys.argv[1:]]
            failed |= subprocess.run(command, env=shifted, check=False).returncode != 0
            if run_python("-c", TODAY, env=shifted) == day:
                sys.exit(f"the tests were over before the end of {day}: begin later than {BEGIN}")
    sys.exit(failed)


def run_python(*arguments: str, env: Mapping[str, str]) -> str:
    """Return what Python prints in an environment."""
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
