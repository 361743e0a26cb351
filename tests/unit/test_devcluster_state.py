"""Claims, slots and the numbers that follow from them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster.errors import ClusterError
from devcluster.state import (
    SLOTS,
    Layout,
    Record,
    alive,
    claim,
    claim_folder,
    claim_free_slot,
    claim_slot,
    cluster_folder,
)

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["a", "unit-1", "region-tick", "0" * 40])
def test_cluster_folder_takes_dns_labels(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert cluster_folder(name) == tmp_path / "region-tick" / "clusters" / name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a.b", "0" * 41])
def test_cluster_folder_refuses_what_could_be_no_folder_or_context(name: str) -> None:
    with pytest.raises(ClusterError, match="cluster name"):
        cluster_folder(name)


def test_no_two_slots_share_a_port_or_an_address() -> None:
    layouts = [Layout(folder=Path("/x"), slot=slot, node=True) for slot in SLOTS]
    ports = [port for one in layouts for port in (one.api_port, one.etcd_port, one.etcd_peer_port)]
    names = [name for one in layouts for name in (one.host_address, one.node_address, one.pod_range, one.identifier)]
    assert len(set(ports)) == len(ports)
    assert len(set(names)) == len(names)
    assert max(ports) < 32768, "the kernel gives ports from here to anybody"
    assert all(len(one.identifier) < 16 for one in layouts), "the name of a network interface has at most 15 characters"


def test_a_control_plane_alone_listens_on_loopback_only() -> None:
    assert Layout(folder=Path("/x"), slot=3, node=False).host_address == "127.0.0.1"


def test_a_record_reads_back(tmp_path: Path) -> None:
    record = Record(slot=3, pid=17, node=True, temporary=False)
    assert Record.read(tmp_path) is None
    record.write(tmp_path)
    assert Record.read(tmp_path) == record
    replace(record, ready=True).write(tmp_path)
    assert Record.read(tmp_path) == replace(record, ready=True)


def test_a_claim_is_exclusive_and_ends_with_its_socket(tmp_path: Path) -> None:
    assert not alive(tmp_path)
    holder = claim_folder(tmp_path)
    assert holder is not None
    with holder:
        assert alive(tmp_path)
        assert claim_folder(tmp_path) is None
    assert not alive(tmp_path)


def test_a_claim_ends_with_a_killed_process(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from devcluster.state import claim\n"
        "holder = claim(sys.argv[1]); print(holder is not None, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path.name], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert claim(tmp_path.name) is None
        process.kill()
        process.wait()
    again = claim(tmp_path.name)
    assert again is not None
    again.close()


def test_a_free_slot_is_nobody_elses() -> None:
    slot, holder = claim_free_slot()
    with holder:
        assert claim_slot(slot) is None
        other, other_holder = claim_free_slot()
        other_holder.close()
        assert other != slot
