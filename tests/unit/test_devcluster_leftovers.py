"""devcluster/leftovers.py: what several processes that clean up at once do to each other."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from devcluster import leftovers
from devcluster.state import Record, claim_folder

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import pytest


def test_a_folder_that_another_process_cleaned_up_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    Record(slot=0, pid=0, node=False, temporary=True).write(dead)

    def claim_after_another(folder: Path) -> socket.socket | None:
        shutil.rmtree(folder)
        return claim_folder(folder)

    monkeypatch.setattr(leftovers, "clusters_home", lambda: tmp_path)
    monkeypatch.setattr(leftovers, "claim_folder", claim_after_another)
    leftovers.sweep()
    assert list(tmp_path.iterdir()) == []
