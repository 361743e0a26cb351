"""Removes the leftovers of a cluster with a dead supervisor: the folder, and a node's network link and cgroups.

Processes and mounts are gone already: the kernel ended them together with the supervisor. The caller must hold the
claim on the folder.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from devcluster import network
from devcluster.state import Record, alive, claim_folder, claim_slot, clusters_home

if TYPE_CHECKING:
    from pathlib import Path


def clean(folder: Path) -> None:
    """Remove the folder, the network link and the cgroups. The caller holds the claim on the folder."""
    record = Record.read(folder)
    # If another cluster owns the slot now, the slot's network link and cgroups belong to that cluster and must stay.
    if record and record.node and (slot := claim_slot(record.slot)):
        with slot:
            network.remove(record.layout(folder))
    shutil.rmtree(folder, ignore_errors=False)


def sweep() -> None:
    """Clean up after every temporary cluster whose caller and supervisor are both dead."""
    if not clusters_home().exists():
        return
    for folder in clusters_home().iterdir():
        record = Record.read(folder)
        if record is None or not record.temporary or alive(folder):
            continue
        if holder := claim_folder(folder):
            with holder:
                if Record.read(folder):  # another process may have cleaned up between the look and the claim
                    clean(folder)
