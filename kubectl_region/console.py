"""Asks the console, with the user's own rights: by the API server's service proxy, or else by a port-forward.

What the console says of causes and remedies is passed on word for word. What stands here is only what to say when the
console cannot be asked: it is not installed, does not run, or the user may not.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from posixpath import normpath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.kubectl import KubectlError
from kubectl_region.output import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kubectl_region.cluster import Cluster
    from kubectl_region.port_forward import PortForward

T = TypeVar("T")

SERVICE = "region-tick-console"
PORT = "http"
PROXIED = f"http:{SERVICE}:{PORT}"
"""The Service as the proxy's path and a Role's resourceNames have it."""
VIEW_ROLE = "region-tick-view"
FORWARD_ROLE = "region-tick-forward"
WITHOUT_PROXY = ("Forbidden", "ServiceUnavailable", "Timeout")
"""Why the API server passes no request on: the user may not ask by its proxy, or the proxy reaches no pod."""


class ConsoleAwayError(PluginError):
    """The console cannot be asked, or has no database to answer from. The message says why."""


_KINDS = {"NotFound": NotFoundError, "DatabaseUnavailable": ConsoleAwayError}
"""What the console's reasons for an error come to."""


class Answer(dict[str, Any]):
    """An object of the console's JSON. A console of an older release has not all fields that this plugin shows."""

    def __missing__(self, key: str) -> None:
        """Raise PluginError."""
        raise PluginError(
            f'the console\'s answer has no "{key}": it is of another release than this plugin',
            "use one release of both: kubectl region version",
        )


class Console:
    """The console of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self.namespace = cluster, namespace

    def get(self, *path: str, **query: object) -> dict[str, Any]:
        """Return an answer of the console.

        `path` are the parts of the page's path, unencoded; a None in `query` is left out.

        kubectl drops the body of an answer that is an error. So the console is asked to say in the body alone that the
        answer is one. Raises NotFoundError (no such region or tick), ConsoleAwayError, and PluginError for the
        console's other errors.
        """
        import json

        text = self.text(*path, format="json", errors="body", **query)
        try:
            answer = json.loads(text, object_hook=Answer)
        except ValueError:
            answer = None
        if not isinstance(answer, Answer):
            raise PluginError(f"what answered is no console of Region tick, and said {text[:60]!r}")
        if answer.get("kind") == "Error":
            raise _KINDS.get(answer["reason"], PluginError)(answer["message"], answer["remedy"])
        return answer

    def text(self, *path: str, **query: object) -> str:
        """Return an answer of the console as it is, e.g. a picture. Raises what `get` raises."""
        asked = {name.rstrip("_"): str(value) for name, value in query.items() if value not in (None, "")}
        page = "/".join(map(_encode, path)) + f"?{urlencode(asked, errors='surrogateescape')}"
        if forward := self._cluster.forwards.get(self.namespace):
            return self._ask_by(forward, page)
        may_forward = self._cluster.at_end is not None
        place = f"/api/v1/namespaces/{self.namespace}/services/{PROXIED}/proxy/{page}"
        try:
            return self._cluster.kubectl.raw(place, partial(self._ask_instead, page) if may_forward else None)
        except KubectlError as error:
            refusal = error
        if not may_forward or refusal.reason not in WITHOUT_PROXY:
            raise explain(self.namespace, refusal)
        try:
            forward = self._open_forward(refusal.message)
        except PluginError as error:
            raise explain(self.namespace, refusal, error) from error
        return self._ask_by(forward, page)

    def pages(self, *path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Yield all pages of an answer that has `page` and `pages`."""
        for page in count(1):
            answer = self.get(*path, page=page, **query)
            yield answer
            if page >= answer["pages"]:
                return

    def _ask_instead(self, page: str) -> str | None:
        """Ask by a port-forward while the proxy keeps silent: packets to pods may be dropped. None without a right."""
        try:
            forward = self._open_forward("the API server's proxy has given no answer yet")
        except PluginError:
            return None
        return self._ask_by(forward, page)

    def _open_forward(self, why: str) -> PortForward:
        """Open a port-forward, which ends with the command, and say why. Raises what `port_forward` raises."""
        from kubectl_region.port_forward import port_forward

        at_end = self._cluster.at_end
        assert at_end is not None  # noqa: S101 - the caller has looked
        forward = at_end.enter_context(port_forward(self._cluster.kubectl, SERVICE, PORT, self.namespace))
        warn(f"asking the console by kubectl port-forward, on port {forward.port} of this machine: {why}")
        self._cluster.forwards[self.namespace] = forward
        return forward

    def _ask_by(self, forward: PortForward, page: str) -> str:
        """Ask by a port-forward. One that is broken serves no other request. Raises PluginError."""
        from kubectl_region.port_forward import BrokenForwardError

        try:
            return forward.get(f"/{page}")
        except BrokenForwardError as error:
            self._cluster.forwards.pop(self.namespace)
            raise ConsoleAwayError(error.message, error.remedy) from error


def explain(namespace: str, error: KubectlError, forward_error: PluginError | None = None) -> PluginError:
    """Say why the console did not answer, by the proxy and by the port-forward that was tried instead, and what to do.

    A Service that is not there is told by the port-forward alone to whoever may not use the proxy.
    """
    where = f"in namespace {namespace}"
    told = f"{where}: {error.message}"
    if forward_error is not None:
        told += f"; and kubectl port-forward: {forward_error.message}"
    if f'namespaces "{namespace}" not found' in told:
        return ConsoleAwayError(
            f"there is no namespace {namespace}",
            "name another one by -n, or see which have a RegionScheduler: kubectl get regionschedulers -A",
        )
    install = "kubectl apply -f manifests/console; if it is elsewhere, name its namespace by -n"
    if f'"{SERVICE}" not found' in told:
        return ConsoleAwayError(f"no console answers {told}", f"it is not installed there: {install}")
    may_not_forward = isinstance(forward_error, KubectlError) and forward_error.reason == "Forbidden"
    if error.reason == "Forbidden":
        remedy = f"{give(VIEW_ROLE, namespace)}, which has `get` on services/proxy {PROXIED}"
        remedy += f"; or {give(FORWARD_ROLE, namespace)}, which lets kubectl port-forward" * may_not_forward
        return ConsoleAwayError(f"you may not ask the console {told}", remedy)
    if error.reason in WITHOUT_PROXY:
        remedy = (
            f"see whether it is installed: kubectl get deployment {SERVICE} -n {namespace}. If there is none,"
            f" {install}. If no pod of it is ready: kubectl describe replicasets,pods -n {namespace}"
            f" -l app.kubernetes.io/component=console says why (quota, image, node), kubectl logs -n {namespace}"
            f" deployment/{SERVICE} why it does not start"
        )
        remedy += f". If the API server reaches no pod, {give(FORWARD_ROLE, namespace)}" * may_not_forward
        return ConsoleAwayError(f"no console answers {told}", remedy)
    return NotFoundError(error.message) if error.reason == "NotFound" else PluginError(error.message)


def give(role: str, namespace: str) -> str:
    """Say how somebody gets a role."""
    bind = f"kubectl create rolebinding {role} --clusterrole={role} --user=YOU -n {namespace}"
    return f"have an administrator give you the ClusterRole {role} (kubectl apply -f manifests/people; {bind})"


def _encode(part: str) -> str:
    """Write a part of a path. Raises PluginError for one that kubectl changes, which would name another region.

    kubectl decodes the path, and makes `a/b` of `a//b` and `b` of `a/../b`.
    """
    if normpath(f"/a/{part}") != f"/a/{part}":
        raise PluginError(
            f'the region "{part}" cannot be asked for by its code, which kubectl takes for another path',
            "see it in the list: kubectl region list -o wide",
        )
    return quote(part, safe="", errors="surrogateescape")


def find_region(cluster: Cluster, code: str, *path: str, **query: object) -> dict[str, dict[str, Any]]:
    """Return an answer about a region, of each namespace that has the region. Raises what `ask_each` raises."""
    missing: list[NotFoundError] = []

    def ask(console: Console) -> dict[str, Any] | None:
        try:
            return console.get("regions", code, *path, **query)
        except NotFoundError as error:
            missing.append(error)
            return None

    answers = ask_each(cluster, ask)
    found = {namespace: answer for namespace, answer in answers.items() if answer is not None}
    if missing and not found:
        raise missing[-1]
    return found


def ask_each(cluster: Cluster, ask: Callable[[Console], T], namespaces: Iterable[str] | None = None) -> dict[str, T]:
    """Return what `ask` returns for the console of each namespace. Without `namespaces`: of all of the command.

    A console that cannot be asked, or cannot answer, is told of, and the command goes on without that one: `Cluster`
    keeps that the answer is not whole. Raises PluginError if none has answered.
    """
    answers, errors = {}, {}
    for namespace in cluster.namespaces if namespaces is None else namespaces:
        try:
            answers[namespace] = ask(Console(cluster, namespace))
        except PluginError as error:
            errors[namespace] = error
    if errors and not answers:
        raise next(iter(errors.values()))
    for namespace, away in errors.items():
        warn(f"{namespace}: {away.message}")
        if away.remedy:
            warn(f"what to do: {away.remedy}")
        cluster.is_whole = False
    return answers
