"""Takes away what a cluster whose supervisor is dead has left: its folder and, of a node, the few things that the
kernel keeps.

Believes that processes and mounts are gone already: the kernel ended them with the supervisor. Needs the claim on the
folder.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from devcluster import network
from devcluster.state import Record, alive, claim_folder, claim_slot, clusters_home

if TYPE_CHECKING:
    from pathlib import Path


def clean(folder: Path) -> None:
    """Leaves neither folder nor network nor cgroup; the caller holds the claim on the folder."""
    record = Record.read(folder)
    # Where the slot has a new owner, that one has cleaned it: a node starts by removing what is in its way.
    if record and record.node and (slot := claim_slot(record.slot)):
        with slot:
            network.remove(record.layout(folder))
    shutil.rmtree(folder, ignore_errors=False)


def sweep() -> None:
    """Cleans up after every temporary cluster whose caller and supervisor both died."""
    if not clusters_home().exists():
        return
    for folder in clusters_home().iterdir():
        record = Record.read(folder)
        if record is None or not record.temporary or alive(folder):
            continue
        if holder := claim_folder(folder):
            with holder:
                clean(folder)
