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
    from collections.abc import Callable

LEEWAY_SECONDS = 10
"""How much longer kubectl itself may take than its requests."""
PATIENCE_SECONDS = 5.0
"""After which time without an answer another way to it is tried, where there is one."""
TIMEOUT_FLAG = "--request-timeout="
UNREADABLE = "backslashreplace"
"""How a byte that is no UTF-8 is read: a log may have any."""
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

    def __call__(
        self, *arguments: str, stdin: str | None = None, instead: Callable[[], str | None] | None = None
    ) -> str:
        """Run kubectl and return its output. Raises KubectlError, and PluginError without kubectl or an answer.

        `instead` is called if kubectl has said nothing for PATIENCE_SECONDS. What it returns is the answer then; after
        None, kubectl has the rest of its time.
        """
        import subprocess
        import time

        words = ["kubectl", *arguments, *self.flags]
        pipe, source = subprocess.PIPE, subprocess.DEVNULL if stdin is None else subprocess.PIPE
        try:
            process = subprocess.Popen(
                words, stdin=source, stdout=pipe, stderr=pipe, encoding="utf-8", errors=UNREADABLE
            )
        except FileNotFoundError as error:
            raise PluginError(
                "kubectl is not on your PATH", "install kubectl, and see it run: kubectl version"
            ) from error
        end = time.monotonic() + (self.limit_seconds or 0)
        with process:
            try:
                if instead and _is_silent(process) and (answer := instead()) is not None:
                    return answer
                left = max(0.0, end - time.monotonic()) if self.limit_seconds else None
                output, errors = process.communicate(stdin, timeout=left)
            except subprocess.TimeoutExpired as error:
                said = (error.stderr or b"").decode(errors=UNREADABLE).strip()  # bytes, also of a stream of text
                raise PluginError(
                    f"kubectl gave no answer within {self.limit_seconds:g} s: kubectl {' '.join(arguments)}"
                    + (f": {said}" if said else ""),
                    "see whether the API server answers: kubectl get --raw /readyz; --request-timeout sets the limit",
                ) from error
            finally:
                process.kill()
        if process.returncode:
            raise KubectlError(errors, process.returncode)
        return output

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run kubectl with `--output json` and return what it prints."""
        import json

        return json.loads(self(*arguments, "--output", "json", stdin=stdin))

    def raw(self, path: str, instead: Callable[[], str | None] | None = None) -> str:
        """Return the answer to a GET of a path of the API server, or else of `instead`. Raises what a call raises.

        kubectl puts its limit for a request into the path's query, where a Service behind the proxy would find it. So
        the limit is that of the process alone.
        """
        return Kubectl(self._other_flags, self.limit_seconds)("get", "--raw", path, instead=instead)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start kubectl, and leave its end and its limit of time to the caller. What it says of errors is output.

        kubectl may be a script, so it runs in a session of its own: whoever ends the session ends what the script has
        started too. The terminal's Ctrl-C does not reach a session of its own.
        """
        import subprocess

        return subprocess.Popen(
            ["kubectl", *arguments, *self._other_flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors=UNREADABLE,
            start_new_session=True,
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


def _is_silent(process: subprocess.Popen[str]) -> bool:
    """Wait for PATIENCE_SECONDS, and return whether a process has not ended. Its output is kept for later."""
    import subprocess

    try:
        process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False
