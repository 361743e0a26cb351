"""What the control plane is told."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from devcluster import controlplane
from devcluster.binaries import Binary
from devcluster.controlplane import User
from devcluster.state import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

BINARIES = {binary: Path("/bin") / binary for binary in Binary}


def layout(folder: Path, *, node: bool = True) -> Layout:
    return Layout(folder=folder, slot=7, node=node)


def flags(command: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in command[1:])}


def test_the_api_server_keeps_the_defences_of_a_real_one(tmp_path: Path) -> None:
    said = flags(controlplane.api_server_command(layout(tmp_path), BINARIES))
    assert said["--authorization-mode"] == "Node,RBAC"
    assert not [flag for flag in said if "disable-admission" in flag or "feature-gates" in flag]


@pytest.mark.parametrize(("node", "address"), [(True, "10.245.7.1"), (False, "127.0.0.1")])
def test_the_api_server_listens_on_the_hosts_end_only(tmp_path: Path, node: bool, address: str) -> None:
    said = flags(controlplane.api_server_command(layout(tmp_path, node=node), BINARIES))
    assert said["--bind-address"] == said["--advertise-address"] == address


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_audit_policy_has_all_writes_and_reads_of_the_manifests_pods_alone(tmp_path: Path) -> None:
    controlplane.write_credentials(layout(tmp_path))
    policy = read(tmp_path / "certificates" / "audit-policy.yaml")
    assert [rule["level"] for rule in policy["rules"]] == ["Metadata", "Metadata", "None"]
    assert set(policy["rules"][0]) == {"level", "verbs"}, "a further condition would lose writes"
    assert policy["rules"][0]["verbs"] == ["create", "update", "patch", "delete", "deletecollection"]
    assert policy["rules"][1]["userGroups"] == ["system:serviceaccounts:region-tick"]


def test_each_user_gets_a_kubeconfig_with_a_token_that_the_server_knows(tmp_path: Path) -> None:
    tokens = controlplane.write_credentials(layout(tmp_path))
    known = {tuple(line.split(",")[:2]) for line in (tmp_path / "certificates" / "tokens.csv").read_text().split()}
    for user in User:
        config = read(controlplane.kubeconfig(layout(tmp_path), user))
        assert config["users"][0]["user"]["token"] == tokens[user]
        assert (tokens[user], str(user)) in known
        assert config["clusters"][0]["cluster"]["server"] == "https://10.245.7.1:21070"
    assert controlplane.kubeconfig(layout(tmp_path), User.ADMIN) == tmp_path / "kubeconfig"


def test_secrets_are_the_owners_alone(tmp_path: Path) -> None:
    controlplane.write_credentials(layout(tmp_path))
    assert (tmp_path / "certificates").stat().st_mode & 0o077 == 0
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o077 == 0


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Between the two in memory; raises ssl.SSLError where the client does not trust the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("name", ["10.245.7.1", "10.96.0.1", "kubernetes.default.svc", "localhost"])
def test_the_certificate_stands_the_strict_check_of_newer_pythons(tmp_path: Path, name: str) -> None:
    controlplane.write_credentials(layout(tmp_path))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(controlplane.certificate(layout(tmp_path)), controlplane.key(layout(tmp_path)))
    client = ssl.create_default_context(cafile=str(controlplane.certificate(layout(tmp_path))))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    handshake(server, client, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client, "10.245.8.1")


def test_the_controllers_are_the_upstream_ones_with_upstream_rates(tmp_path: Path) -> None:
    said: Mapping[str, str] = flags(controlplane.controller_manager_command(layout(tmp_path), BINARIES))
    assert "--controllers" not in said
    assert "--kube-api-qps" not in said
    assert not [flag for flag in said if flag.startswith("--concurrent")]
