"""Gives an operator or a console that runs as a process the rights of its ServiceAccount in a cluster, and no more.

So a test with `run_operator` is a test of `manifests/namespaced/rbac.yaml` too. A test that calls parts of the operator
in its own process has an administrator's rights, and so have some operators of tests/faults.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from tests.harness.operator_process import CHECKOUT
from tests.harness.reading import TIMEOUT_SECONDS, connection
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.kubectl import Kubectl

ACCOUNT = "region-operator"
RBAC = CHECKOUT / "manifests/namespaced/rbac.yaml"
LAST_RIGHT = {"verb": "create", "group": "coordination.k8s.io", "resource": "leases"}
CONSOLE = "region-tick-console"
CONSOLE_RBAC = CHECKOUT / "manifests/console/rbac.yaml"
CONSOLES_LAST_RIGHT = {"verb": "list", "group": "apps", "resource": "controllerrevisions"}
TOKEN_SECONDS = 24 * 3600
_PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}


@cache
def rbac(manifest: Path) -> str:
    """Return the ServiceAccount, its Role and its RoleBinding, as JSON. Their namespace is region-tick."""
    return json.dumps(list(yaml.safe_load_all(manifest.read_text())))


def install_rights(kubectl: Kubectl, manifest: Path = RBAC) -> None:
    """Install the ServiceAccount, Role and RoleBinding of a manifest in kubectl's namespace."""
    namespace = kubectl.namespace
    for body in json.loads(rbac(manifest).replace('"namespace": "region-tick"', f'"namespace": "{namespace}"')):
        post(kubectl.kubeconfig, _PATHS[body["kind"]].format(namespace=namespace), body)


def operator_kubeconfig(
    kubectl: Kubectl, folder: Path, *, account: str = ACCOUNT, last_right: dict[str, str] = LAST_RIGHT
) -> Path:
    """Return a kubeconfig of a ServiceAccount in kubectl's namespace, when its `last_right` is in force.

    The kubeconfig is a file in `folder`.
    """
    namespace = kubectl.namespace
    path = f"{_PATHS['ServiceAccount'].format(namespace=namespace)}/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    answer = post(kubectl.kubeconfig, path, body | {"spec": {"expirationSeconds": TOKEN_SECONDS}})
    content = yaml.safe_load(kubectl.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": answer["status"]["token"]}
    kubeconfig = folder / f"{account}.{namespace}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(content))
    eventually(lambda: _is_in_force(kubeconfig, namespace, last_right), what="the Role is in force")
    return kubeconfig


def post(kubeconfig: Path, path: str, body: dict[str, Any]) -> Any:
    """Create an object. Raises AssertionError with the API server's answer.

    An object that is there already is the caller's own: urllib3 asks again where a connection breaks, and the namespace
    is the test's.
    """
    pool, headers = connection(kubeconfig.read_text())
    answer = pool.request("POST", path, headers=headers, json=body, timeout=TIMEOUT_SECONDS)
    assert answer.status in (201, 409), f"{path}: {answer.status} {answer.data.decode()}"
    return json.loads(answer.data)


def _is_in_force(kubeconfig: Path, namespace: str, last_right: dict[str, str]) -> bool:
    """Ask whether the last right of the Role is granted. The API server learns of a new Role a moment later."""
    wanted = {"namespace": namespace} | last_right
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    answer = post(kubeconfig, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    return bool(answer["status"]["allowed"])
