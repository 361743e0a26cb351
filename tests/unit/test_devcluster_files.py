"""The lock that processes share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from devcluster.files import exclusively

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "thing"
    other = (
        "import sys; from pathlib import Path; from devcluster.files import exclusively\n"
        "print('starting', flush=True)\n"
        "with exclusively(Path(sys.argv[1])):\n"
        "    print(Path(sys.argv[1]).read_text(), flush=True)\n"
    )
    with exclusively(target):
        process = subprocess.Popen(
            [sys.executable, "-c", other, str(target)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        target.write_text("written by the first")  # without the lock the other would have failed to read it
    assert process.communicate(timeout=60)[0] == "written by the first\n"
