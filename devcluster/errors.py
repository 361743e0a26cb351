"""The errors that this package raises on purpose."""

from __future__ import annotations


class ClusterError(Exception):
    """A problem that a person can solve. The message names the affected thing, says what is wrong, and the remedy."""


class PostgresError(RuntimeError):
    """A Postgres server cannot be made, started or stopped. The message says why."""
