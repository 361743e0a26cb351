"""Reports the progress of long work on standard error.

A terminal gets a live line with the elapsed time. Any other output (CI, a file) gets a line at the start and a line at
the end of each step: the log then shows the time of each step. This module decides nothing.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

console = Console(stderr=True, soft_wrap=True, highlight=False)


@contextmanager
def step(title: str) -> Iterator[Callable[[str], None]]:
    """Show `title` while the `with` block runs, and then the elapsed time. The yielded function adds a detail to a
    terminal's live line.

    An exception of the block passes through, after a line with the failure.
    """
    began = time.monotonic()
    try:
        if console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Bars(*columns, console=console, transient=True) as bars:
                task = bars.add_task(title, total=None)
                yield lambda detail: bars.update(task, description=f"{title} [dim]{detail}[/dim]")
        else:
            console.print(f"{title} ...", markup=False)
            yield lambda _detail: None
    except BaseException:
        console.print(f"{title}: failed after {time.monotonic() - began:.1f} s", style="red", markup=False)
        raise
    console.print(f"{title}: done in {time.monotonic() - began:.1f} s", style="green", markup=False)
