"""Makes the configuration files and command lines of the control plane's programs.

The upstream defaults apply: every flag here exists because the cluster is small, local or audited. As in a production
cluster, Pod Security, RBAC, the Node authorizer and NodeRestriction are on. Each component signs in as the user of its
RBAC bootstrap role, so the audit log names the right users. The supervisor module starts and stops the programs.
"""

from __future__ import annotations

import base64
import secrets
import shutil
import subprocess
from enum import StrEnum
from typing import TYPE_CHECKING

import yaml

from devcluster.binaries import Binary
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devcluster.state import Layout

NODE_NAME = "node"
_SERVICE_RANGE = "10.96.0.0/16"  # visible in a node's own network namespace only, so all clusters use the same range
_FIRST_SERVICE = "10.96.0.1"


class User(StrEnum):
    """The API server's users. Each user has a static token. RBAC's bootstrap roles are bound to these names."""

    ADMIN = "admin"
    CONTROLLER_MANAGER = "system:kube-controller-manager"
    SCHEDULER = "system:kube-scheduler"
    PROXY = "system:kube-proxy"
    KUBELET = f"system:node:{NODE_NAME}"


_GROUPS = {User.ADMIN: ("system:masters",), User.KUBELET: ("system:nodes",)}

# Tests count the writes in the audit log. The log has every write with its user and object, and no reads. Of the pods
# in the manifests' namespace it has the reads too: a test compares what these pods ask for with their rights. The
# stage RequestReceived is omitted: otherwise every write would be logged twice.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:region-tick"]},
        {"level": "None"},
    ],
}


def write_credentials(layout: Layout) -> dict[User, str]:
    """Write the audit policy, a key pair, and a token and a kubeconfig for each user. Return the tokens.

    The single key pair serves every purpose: the API server's certificate, the certificate authority of that
    certificate, the client certificate with which the API server signs in to the kubelet, and the key that signs
    service account tokens.
    """
    layout.certificates.mkdir(mode=0o700)
    _make_key_pair(layout)
    (layout.certificates / "audit-policy.yaml").write_text(yaml.safe_dump(_AUDIT_POLICY))
    tokens = {user: secrets.token_urlsafe(24) for user in User}
    lines = [",".join((token, user, user, *_GROUPS.get(user, ()))) + "\n" for user, token in tokens.items()]
    (layout.certificates / "tokens.csv").write_text("".join(lines))
    for user, token in tokens.items():
        _write_kubeconfig(layout, user, token)
    return tokens


def _make_key_pair(layout: Layout) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        message = "`openssl` is not on PATH: install it (Debian: apt-get install openssl)"
        raise ClusterError(message)
    names = (
        f"IP:{layout.host_address},IP:{_FIRST_SERVICE},DNS:kubernetes.default.svc,DNS:kubernetes.default,DNS:localhost"
    )
    extensions = [
        f"subjectAltName={names}",
        # Python 3.13 checks strictly (ssl.VERIFY_X509_STRICT): a certificate authority must have keyCertSign.
        "keyUsage=critical,digitalSignature,keyCertSign",
        "extendedKeyUsage=serverAuth,clientAuth",
    ]
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "3650", "-subj", "/O=system:masters/CN=kube-apiserver-kubelet-client"]
    command += ["-keyout", str(key(layout)), "-out", str(certificate(layout))]
    for extension in extensions:
        command += ["-addext", extension]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _write_kubeconfig(layout: Layout, user: User, token: str) -> None:
    authority = base64.b64encode(certificate(layout).read_bytes()).decode()
    name = layout.folder.name
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": layout.server, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path = kubeconfig(layout, user)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def kubeconfig(layout: Layout, user: User) -> Path:
    return layout.kubeconfig if user is User.ADMIN else layout.certificates / f"{user.name.lower()}.kubeconfig"


def certificate(layout: Layout) -> Path:
    return layout.certificates / "cluster.crt"


def key(layout: Layout) -> Path:
    return layout.certificates / "cluster.key"


def etcd_command(layout: Layout, binaries: Mapping[Binary, Path]) -> list[str]:
    clients, peers = (f"http://127.0.0.1:{port}" for port in (layout.etcd_port, layout.etcd_peer_port))
    return [
        str(binaries[Binary.ETCD]),
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",  # the data may be lost, so etcd need not wait for the disk
        "--log-level=warn",
    ]


def api_server_command(layout: Layout, binaries: Mapping[Binary, Path]) -> list[str]:
    folder = layout.certificates
    return [
        str(binaries[Binary.API_SERVER]),
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        f"--bind-address={layout.host_address}",
        f"--advertise-address={layout.host_address}",
        f"--secure-port={layout.api_port}",
        f"--tls-cert-file={certificate(layout)}",
        f"--tls-private-key-file={key(layout)}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={certificate(layout)}",
        f"--service-account-signing-key-file={key(layout)}",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        f"--kubelet-client-certificate={certificate(layout)}",
        f"--kubelet-client-key={key(layout)}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-maxsize=1000000",  # MB; tests count lines in a single file, so the file must never rotate
        # The Service `kubernetes` needs endpoints only if there are pods, and loopback addresses are not allowed there.
        f"--endpoint-reconciler-type={'lease' if layout.node else 'none'}",
    ]


def controller_manager_command(layout: Layout, binaries: Mapping[Binary, Path]) -> list[str]:
    return [
        str(binaries[Binary.CONTROLLER_MANAGER]),
        f"--kubeconfig={kubeconfig(layout, User.CONTROLLER_MANAGER)}",
        f"--service-account-private-key-file={key(layout)}",
        f"--root-ca-file={certificate(layout)}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        f"--flex-volume-plugin-dir={layout.folder / 'flexvolume'}",  # the default makes a folder under /usr
    ]


def scheduler_command(layout: Layout, binaries: Mapping[Binary, Path]) -> list[str]:
    return [
        str(binaries[Binary.SCHEDULER]),
        f"--kubeconfig={kubeconfig(layout, User.SCHEDULER)}",
        "--leader-elect=false",
        "--secure-port=0",
    ]
