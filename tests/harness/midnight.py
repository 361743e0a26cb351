"""Run tests while a day ends: for them, for Postgres and for all that they start, it is soon midnight in UTC.

    python -m tests.harness.midnight tests/unit tests/database

The days are chosen so that also a month ends, February, and February of a leap year. Clocks run on as usual.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from devcluster import another_time, debian

DAYS = ("2026-11-28", "2026-11-30", "2027-02-28", "2028-02-29")
BEGIN = "23:58:30"
"""So that midnight comes when about half of the tests are done."""
LEFT_OUT = ("--ignore=tests/unit/test_devcluster_images.py",)
"""It compares clocks with the times of files, which are those of the kernel."""
COMPILER = debian.Part("cc", "gcc", "compiles the library by which tests and Postgres believe in another time")


def compiled(folder: Path) -> Path:
    """Return the library that is to be preloaded."""
    library = folder / "another_time.so"
    source = Path(__file__).with_name("another_time.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source, "-ldl"], check=True)
    folder.chmod(0o755)  # Postgres runs as somebody else
    return library


def environment(day: str, library: Path) -> dict[str, str]:
    """Return what has a process, and those that it starts, believe that it is just before the end of a day."""
    ahead = datetime.fromisoformat(f"{day}T{BEGIN}+00:00") - datetime.now(UTC)
    return {"LD_PRELOAD": str(library), another_time.SECONDS: f"{ahead.total_seconds():.0f}"}


def main() -> None:
    """Run pytest with the given arguments at the end of each day; exit with 1 where a test failed."""
    debian.complete_path()
    debian.ensure((COMPILER,))
    failed = False
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        library = compiled(Path(folder))
        for day in DAYS:
            print(f"== {day} {BEGIN} UTC", flush=True)
            command = [sys.executable, "-m", "pytest", *LEFT_OUT, *sys.argv[1:]]
            failed |= subprocess.run(command, env=os.environ | environment(day, library), check=False).returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
