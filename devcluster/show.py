"""How the demo talks to a person: numbered steps, the commands that it runs, and what they print."""

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
    """Where the demo is shown; `namespace` is what kubectl's commands are about."""

    kubeconfig: Path
    namespace: str
    console: Console = field(default_factory=lambda: Console(soft_wrap=True, highlight=False, width=WIDE))
    _steps: int = 0

    def step(self, title: str) -> None:
        """Begin a step."""
        self._steps += 1
        self.console.print(f"\n[bold]{self._steps}. {title}[/bold]")

    def say(self, text: str) -> None:
        """Tell what is to be seen."""
        self.console.print(text, markup=False)

    def kubectl(self, *arguments: str) -> None:
        """Show a kubectl command and what it prints."""
        self.console.print(f"$ kubectl {' '.join(arguments)}", style="cyan", markup=False)
        self.console.print(self.ask(*arguments).rstrip(), markup=False)

    def ask(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in silence and return what it prints. Raises ClusterError with kubectl's own words."""
        command = [kubectl_binary(), f"--namespace={self.namespace}", *arguments]
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def sql(self, statement: str) -> None:
        """Show a statement; the caller runs it."""
        self.console.print(f"postgres> {statement}", style="magenta", markup=False)

    @contextmanager
    def explained_failure(self) -> Iterator[None]:
        """Show, before a failure passes on, what the cluster says of it."""
        try:
            yield
        except Exception:
            self.say("\nThis did not go as it should. What the cluster says:")
            for command in EXPLANATIONS:
                with suppress(ClusterError):
                    self.kubectl(*command)
            raise

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Show rows."""
        table = Table(*(Column(name, no_wrap=True) for name in columns), box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self.console.print(table)


def kubectl_binary() -> str:
    """Return the kubectl of this virtual environment, or the one on PATH."""
    ours = Path(sys.executable).with_name("kubectl")
    return str(ours) if ours.exists() else "kubectl"
