"""Runs kubectl, so that contexts, logins and proxies are those of the user and are nobody's work here.

Each call has a limit of time. What a call costs is the start of a process: some tenths of a second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubectl_region.errors import PluginError

if TYPE_CHECKING:
    import subprocess

LEEWAY_SECONDS = 10
"""How much longer kubectl itself may take than its requests."""
TIMEOUT_FLAG = "--request-timeout="
_REASON = re.compile(r"Error from server \((?P<reason>\w+)\): (?P<message>.*)", re.DOTALL)


class KubectlError(PluginError):
    """kubectl failed. `reason` is the API server's, such as Forbidden; "" if the API server gave none."""

    def __init__(self, stderr: str, returncode: int) -> None:
        text = stderr.strip() or f"kubectl ended with exit code {returncode}"
        match = _REASON.search(text)
        self.reason = match["reason"] if match else ""
        remedy = "see which rights you lack, and the role that has them: kubectl region doctor"
        message = match["message"] if match else text.removeprefix("error: ")
        super().__init__(message.strip(), remedy if self.reason == "Forbidden" else "")


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with the user's flags. `limit_seconds` is the longest that one call may take; None: any time."""

    flags: tuple[str, ...] = ()
    limit_seconds: float | None = None

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output. Raises KubectlError, and PluginError without kubectl or an answer."""
        import subprocess

        try:
            done = subprocess.run(
                ["kubectl", *arguments, *self.flags],
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                encoding="utf-8",
                timeout=self.limit_seconds,
                check=False,
            )
        except FileNotFoundError as error:
            raise PluginError(
                "kubectl is not on your PATH", "install kubectl, and see it run: kubectl version"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise PluginError(
                f"kubectl gave no answer within {self.limit_seconds:g} s: kubectl {' '.join(arguments)}",
                "see whether the API server answers: kubectl get --raw /readyz; --request-timeout sets the limit",
            ) from error
        if done.returncode:
            raise KubectlError(done.stderr, done.returncode)
        return done.stdout

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run kubectl with `--output json` and return what it prints."""
        import json

        return json.loads(self(*arguments, "--output", "json", stdin=stdin))

    def raw(self, path: str) -> str:
        """Return the answer to a GET of a path of the API server. Raises what a call raises.

        kubectl puts its limit for a request into the path's query, where a Service behind the proxy would find it. So
        the limit is that of the process alone.
        """
        return Kubectl(self._other_flags, self.limit_seconds)("get", "--raw", path)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start kubectl, and leave its end and its limit of time to the caller. What it says of errors is output."""
        import subprocess

        return subprocess.Popen(
            ["kubectl", *arguments, *self._other_flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    @property
    def without_limit(self) -> Kubectl:
        """The same kubectl, for what the user ends: a log that is followed."""
        return Kubectl(self._other_flags)

    @property
    def _other_flags(self) -> tuple[str, ...]:
        return tuple(flag for flag in self.flags if not flag.startswith(TIMEOUT_FLAG))

    def show(self, *arguments: str) -> int:
        """Run kubectl on the user's own terminal, for as long as it takes. Return its exit code."""
        import subprocess

        return subprocess.call(["kubectl", *arguments, *self.flags])
