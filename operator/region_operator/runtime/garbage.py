"""Keeps what lives long out of the garbage collections.

A full collection walks through every object, and holds all threads meanwhile: a tenth of a second and more with ten
thousand regions, again and again. What a reconcile has just built lives until it changes, so it is frozen. A frozen
object still goes when nobody refers to it; only a cycle of frozen objects would stay.
"""

from __future__ import annotations

import gc

MANY_CHANGES = 1000
"""After so many changes most of what is remembered is new."""


def freeze_memory() -> None:
    """Collect the garbage, and leave everything else out of all later collections."""
    gc.collect()
    gc.freeze()


class Freezer:
    """Freezes memory after the first reconcile, and after each that changed much."""

    def __init__(self) -> None:
        self._frozen = False

    def freeze_after(self, changes: int) -> None:
        """Freeze memory, unless a reconcile made few changes."""
        if changes >= MANY_CHANGES or not self._frozen:
            self._frozen = True
            freeze_memory()
