"""Shows the demo to a person: numbered steps, commands and the commands' output."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table

from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TIMEOUT_SECONDS = 120
WIDE = 160
EXPLANATIONS = (
    ("get", "all,events,regionschedulers", "--output", "wide"),
    ("describe", "pods", "--selector", "app.kubernetes.io/component=operator"),
    ("logs", "--selector", "app.kubernetes.io/component=operator", "--prefix", "--tail", "30"),
)


@dataclass(slots=True)
class Stage:
    """Prints the demo's steps, and runs kubectl on the demo's cluster."""

    kubeconfig: Path
    namespace: str
    """The namespace of all kubectl commands."""
    console: Console = field(default_factory=lambda: Console(soft_wrap=True, highlight=False, width=WIDE))
    _steps: int = 0

    def step(self, title: str) -> None:
        """Begin a step: print its number and title."""
        self._steps += 1
        self.console.print(f"\n[bold]{self._steps}. {title}[/bold]")

    def say(self, text: str) -> None:
        """Print a text."""
        self.console.print(text, markup=False)

    def kubectl(self, *arguments: str) -> None:
        """Run a kubectl command, and print the command and its output. Raises ClusterError."""
        self.console.print(f"$ kubectl {' '.join(arguments)}", style="cyan", markup=False)
        self.console.print(self.ask(*arguments).rstrip(), markup=False)

    def ask(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl without printing, and return its output. Raises ClusterError with kubectl's error message."""
        command = [kubectl_binary(), f"--namespace={self.namespace}", *arguments]
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def region(self, *arguments: str) -> None:
        """Run a command of the plugin `kubectl region`. Print the command and its output, whatever its exit code."""
        self.console.print(f"$ kubectl region {' '.join(arguments)}", style="cyan", markup=False)
        programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        done = subprocess.run(
            [kubectl_binary(), "region", *arguments, "--namespace", self.namespace],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": programs},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        self.console.print((done.stdout + done.stderr).rstrip(), markup=False)

    def sql(self, statement: str) -> None:
        """Print an SQL statement. The caller runs the statement."""
        self.console.print(f"postgres> {statement}", style="magenta", markup=False)

    @contextmanager
    def explained_failure(self) -> Iterator[None]:
        """If the `with` block fails, print the cluster's state and logs before the error passes on."""
        try:
            yield
        except Exception:
            self.say("\nThis did not go as it should. What the cluster says:")
            for command in EXPLANATIONS:
                with suppress(ClusterError):
                    self.kubectl(*command)
            raise

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table of rows."""
        table = Table(*(Column(name, no_wrap=True) for name in columns), box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self.console.print(table)


def kubectl_binary() -> str:
    """Return the path of this virtual environment's kubectl, or `kubectl` for the program on PATH."""
    in_environment = Path(sys.executable).with_name("kubectl")
    return str(in_environment) if in_environment.exists() else "kubectl"
