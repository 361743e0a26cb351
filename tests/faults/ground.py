"""A control plane to be harmed, and the operator on it with the rights that the manifests give it, through a proxy."""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import urllib3
import yaml

from region_operator.kube.cronjob_watch import cronjobs_path
from region_operator.kube.lease_record import NAME as LEASE
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.proxy import Proxy
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster

ACCOUNT = "region-operator"
MERGE = "application/merge-patch+json"


class Ground:
    """A namespace of `cluster`; `kubectl` and `ask` are an administrator's, `kubeconfig` is the operator's own."""

    def __init__(self, cluster: LocalCluster, proxy: Proxy, kubeconfig: Path, kubectl: Kubectl) -> None:
        self.cluster, self.proxy, self.kubeconfig, self.kubectl = cluster, proxy, kubeconfig, kubectl
        self.namespace = kubectl.namespace
        self.user = f"system:serviceaccount:{self.namespace}:{ACCOUNT}"

    @classmethod
    @contextmanager
    def on(cls, cluster: LocalCluster, folder: Path) -> Iterator[Self]:
        """Make a namespace with ServiceAccount, Role and RoleBinding; delete it in the end."""
        namespace = f"t-{secrets.token_hex(4)}"
        kubectl = Kubectl(cluster.kubeconfig, namespace)
        kubectl("create", "namespace", namespace)
        rights = list(yaml.safe_load_all((CHECKOUT / "manifests/30-rbac.yaml").read_text()))
        for item in rights:
            item["metadata"]["namespace"] = namespace
            for subject in item.get("subjects", []):
                subject["namespace"] = namespace
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(rights))
        kubeconfig = folder / "kubeconfig"
        with Proxy.before(cluster.kubeconfig, kubeconfig) as proxy:
            content = yaml.safe_load(kubeconfig.read_text())
            content["users"][0]["user"] = {"token": kubectl("create", "token", ACCOUNT).strip()}
            kubeconfig.write_text(yaml.safe_dump(content))
            yield cls(cluster, proxy, kubeconfig, kubectl)
        kubectl("delete", "namespace", namespace, "--wait=false")

    @contextmanager
    def without(self, verb: str, resource: str) -> Iterator[None]:
        """Take one verb on one resource from the operator's Role, and give it back in the end."""
        rules = self.kubectl.get("role", ACCOUNT)["rules"]
        less = [
            rule | {"verbs": [other for other in rule["verbs"] if other != verb or resource not in rule["resources"]]}
            for rule in rules
        ]
        self._set_rules([rule for rule in less if rule["verbs"]])
        groups = [rule["apiGroups"][0] for rule in rules if resource in rule["resources"]]
        eventually(lambda: not self._may(verb, groups[0], resource), what="the right is gone")
        try:
            yield
        finally:
            self._set_rules(rules)

    @contextmanager
    def with_objects(self, *objects: dict[str, Any]) -> Iterator[None]:
        """Have some objects as long as the block lasts."""
        text = yaml.safe_dump_all(objects)
        self.kubectl("apply", "-f", "-", stdin=text)
        try:
            yield
        finally:
            self.kubectl("delete", "-f", "-", "--ignore-not-found", stdin=text)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Let the operator reach nothing of the API server."""
        self.proxy.cut()
        self.proxy.drop()
        try:
            yield
        finally:
            self.proxy.mend()

    def ask(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json", user: str = ""
    ) -> bytes:
        """Send a request without any care, as an administrator or as another; return the answer's body, whatever its
        status.
        """
        configuration = yaml.safe_load(self.kubectl.kubeconfig.read_text())
        token = configuration["users"][0]["user"]["token"]
        with urllib3.PoolManager(ca_certs=str(self.cluster.layout.certificates / "cluster.crt")) as pool:
            return pool.request(
                method,
                self.cluster.layout.server + path,
                body=json.dumps(body) if body else None,
                headers={"Authorization": f"Bearer {token}", "Content-Type": content_type}
                | ({"Impersonate-User": user} if user else {}),
                timeout=40,
                retries=False,
            ).data

    def would_write(self, *, user: str) -> str:
        """Return what the API server says to a write of a CronJob that changes nothing."""
        name = next(iter(self.kubectl.cronjobs().values()))["metadata"]["name"]
        path = f"{cronjobs_path(self.namespace)}/{name}?dryRun=All"
        return self.ask("PATCH", path, {"metadata": {}}, content_type=MERGE, user=user).decode()

    def watch_error(self, *, since: str) -> int:
        """Return the code of the error by which a watch of the CronJobs from a resourceVersion begins, 0 for none."""
        query = f"watch=true&timeoutSeconds=1&resourceVersion={since}"
        first, _, _ = self.ask("GET", f"{cronjobs_path(self.namespace)}?{query}").partition(b"\n")
        event = json.loads(first or "{}")
        return int(event["object"]["code"]) if event.get("type") == "ERROR" else 0

    def renewed(self) -> str:
        """Return when the Lease was renewed last."""
        return str(self.kubectl.get("lease", LEASE)["spec"]["renewTime"])

    def compact_etcd(self) -> None:
        """Let etcd forget every state but the last one."""
        with urllib3.PoolManager() as pool:
            url = f"http://127.0.0.1:{self.cluster.layout.etcd_port}/v3/kv/"
            key = {"key": "AA==", "range_end": "AA==", "limit": "1", "keys_only": True}
            header = pool.request("POST", url + "range", json=key, timeout=10).json()["header"]
            done = pool.request("POST", url + "compaction", json={"revision": header["revision"]}, timeout=10)
            assert done.status == 200, done.data

    def _set_rules(self, rules: list[dict[str, Any]]) -> None:
        self.kubectl("patch", "role", ACCOUNT, "--type=merge", f"--patch={json.dumps({'rules': rules})}")

    def _may(self, verb: str, group: str, resource: str) -> bool:
        name, _, subresource = resource.partition("/")
        asked = {"namespace": self.namespace, "verb": verb, "group": group, "resource": name, "name": ACCOUNT}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": self.user, "resourceAttributes": asked | {"subresource": subresource}},
        }
        answer = json.loads(self.kubectl("create", "--output=json", "-f", "-", stdin=json.dumps(review)))
        return bool(answer["status"]["allowed"])
