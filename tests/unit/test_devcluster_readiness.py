"""Waiting for what is not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devcluster import controlplane
from devcluster.errors import ClusterError
from devcluster.readiness import Asker, until
from devcluster.state import Layout, claim_free_slot

if TYPE_CHECKING:
    from pathlib import Path


async def test_until_takes_both_kinds_of_check() -> None:
    answers = iter([False, False, True])
    await until(lambda: next(answers), seconds=10, what="x")

    async def yes() -> bool:
        return True

    await until(yes, seconds=10, what="x")


async def test_until_names_what_did_not_come() -> None:
    with pytest.raises(ClusterError, match="the node was not ready within 0 s"):
        await until(lambda: False, seconds=0.01, what="the node")


async def test_where_nobody_listens_the_answer_is_no(tmp_path: Path) -> None:
    slot, holder = claim_free_slot()
    with holder:
        layout = Layout(folder=tmp_path, slot=slot, node=False)
        tokens = controlplane.write_credentials(layout)
        asker = Asker(layout, tokens[controlplane.User.ADMIN])
        assert not await asker.server()
        assert not await asker.controllers()
        assert not await asker.node()
