"""The one error that this package raises on purpose."""

from __future__ import annotations


class ClusterError(Exception):
    """Something a person can put right; the message names the thing, what is wrong with it and the remedy."""
