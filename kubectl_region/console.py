"""Asks the console, by the API server's service proxy and with the user's own rights.

What the console says of causes and remedies is passed on word for word. What stands here is only what to say when the
console cannot be asked: it is not installed, does not run, or the user may not.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kubectl_region.cluster import Cluster

SERVICE = "region-tick-console"
PORT = "http"
PROXIED = f"http:{SERVICE}:{PORT}"
"""The Service as the proxy's path and a Role's resourceNames have it."""


class ConsoleAwayError(PluginError):
    """The console cannot be asked, or has no database to answer from. The message says why."""


_KINDS = {"NotFound": NotFoundError, "DatabaseUnavailable": ConsoleAwayError}
"""What the console's reasons for an error come to."""


class Console:
    """The console of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._kubectl, self._namespace = cluster.kubectl, namespace

    def get(self, *path: str, **query: object) -> dict[str, Any]:
        """Return an answer of the console.

        `path` are the parts of the page's path, unencoded; a None in `query` is left out.

        kubectl drops the body of an answer that is an error. So the console is asked to say in the body alone that the
        answer is one. Raises NotFoundError (no such region or tick), ConsoleAwayError, and PluginError for the
        console's other errors.
        """
        import json

        answer: dict[str, Any] = json.loads(self.text(*path, format="json", errors="body", **query))
        if answer.get("kind") == "Error":
            raise _KINDS.get(answer["reason"], PluginError)(answer["message"], answer["remedy"])
        return answer

    def text(self, *path: str, **query: object) -> str:
        """Return an answer of the console as it is, e.g. a picture. Raises what `get` raises."""
        asked = {name.rstrip("_"): str(value) for name, value in query.items() if value not in (None, "")}
        page = "/".join(quote(part, safe="") for part in path)
        place = f"/api/v1/namespaces/{self._namespace}/services/{PROXIED}/proxy/{page}"
        try:
            return self._kubectl.raw(f"{place}?{urlencode(asked)}")
        except KubectlError as error:
            raise self._explain(error) from error

    def pages(self, *path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Yield all pages of an answer that has `page` and `pages`."""
        for page in count(1):
            answer = self.get(*path, page=page, **query)
            yield answer
            if page >= answer["pages"]:
                return

    def _explain(self, error: KubectlError) -> PluginError:
        """Say why the console did not answer."""
        where = f"in namespace {self._namespace}"
        if error.reason == "Forbidden":
            return ConsoleAwayError(
                f"you may not ask the console {where}: {error.message}",
                f"have an administrator give you the ClusterRole region-tick-view {where} (kubectl apply -f"
                " manifests/people), which has `get` on services/proxy"
                f" {PROXIED}; then: kubectl create rolebinding region-tick-view --clusterrole=region-tick-view"
                f" --user=YOU -n {self._namespace}",
            )
        install = "kubectl apply -f manifests/console; if it is elsewhere, name its namespace by -n"
        if f'"{SERVICE}" not found' in error.message:
            return ConsoleAwayError(
                f"no console answers {where}: {error.message}", f"it is not installed there: {install}"
            )
        if error.reason == "ServiceUnavailable" or "no endpoints available" in error.message:
            return ConsoleAwayError(
                f"no console answers {where}: {error.message}",
                f"see whether it is installed: kubectl get deployment {SERVICE} -n {self._namespace}. If there is none,"
                f" {install}. If no pod of it is ready, the database or the Secret {SERVICE} may be away: kubectl get"
                f" pods -n {self._namespace} -l app.kubernetes.io/component=console; kubectl logs -n"
                f" {self._namespace} deployment/{SERVICE}",
            )
        if error.reason == "NotFound":
            return NotFoundError(error.message)
        return PluginError(error.message)


def find_region(cluster: Cluster, code: str, *path: str, **query: object) -> dict[str, dict[str, Any]]:
    """Return an answer about a region, of each namespace that has the region. Raises what `Console.get` raises."""
    answers, missing = {}, None
    for namespace in cluster.namespaces:
        try:
            answers[namespace] = Console(cluster, namespace).get("regions", code, *path, **query)
        except NotFoundError as error:
            missing = error
    if not answers and missing:
        raise missing
    return answers


def consoles(cluster: Cluster) -> Sequence[tuple[str, Console]]:
    """Return the console of each namespace."""
    return [(namespace, Console(cluster, namespace)) for namespace in cluster.namespaces]
