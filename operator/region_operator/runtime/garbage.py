"""Keeps what lives long out of the garbage collections.

A full collection walks through every object, and holds all threads meanwhile: a tenth of a second and more with ten
thousand regions, again and again. What a reconcile has just built lives until it changes, so it is frozen. A frozen
object still goes when nobody refers to it; only a cycle of frozen objects would stay.
"""

from __future__ import annotations

import gc


def freeze_memory() -> None:
    """Collect the garbage, and leave everything else out of all later collections."""
    gc.collect()
    gc.freeze()
