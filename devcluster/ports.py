"""Finds a free port for a server that must keep its port."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

from devcluster.errors import PostgresError

PORTS = range(15000, 21000)
"""The range of the search for a free port. The range is below the ports of clusters and of outgoing connections: a free
port is thus still free at the next start.
"""


def free_port() -> int:
    """Return a random port of PORTS on which no process listens. Raises PostgresError if there is none."""
    for port in secrets.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            return port
    raise PostgresError(f"no free port found in {PORTS}")
