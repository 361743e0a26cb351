"""What the operator asks for only after a race: the real Role allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import CronJobWatch
from tests.faults.ground import Ground

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from devcluster.local import LocalCluster

NAME = "fr-75-eabddc4488ef"


async def test_a_cronjob_that_somebody_changed_meanwhile_can_be_read_anew(
    control_plane: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ground.on(control_plane, tmp_path) as ground:
        monkeypatch.setenv("KUBECONFIG", str(ground.kubeconfig))
        ground.kubectl("create", "cronjob", NAME, "--image=none", "--schedule=@yearly")
        async with connect("a test") as api:
            watch = CronJobWatch(api)
            await watch.refresh(ground.namespace, NAME)
            assert watch.cache.get(NAME) is not None
