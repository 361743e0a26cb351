"""Limits how long a tick waits for an answer of the Postgres server.

A healthy server bounds every statement itself (statements.BOUNDS). A frozen or unreachable server enforces no bounds,
and psycopg then waits for ever: the kernel of a frozen server's machine still acknowledges every packet, so no TCP
timeout helps. This module cuts the connection instead.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from threading import Event, Timer
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator


class NoAnswerError(psycopg.OperationalError):
    """The server did not answer in time. The server may have executed the statement all the same."""


@contextmanager
def answer_deadline(connection: psycopg.Connection, *, within: float) -> Iterator[None]:
    """Cut the connection if the statements of the `with` block take longer than `within` seconds in all.

    Raises NoAnswerError, also if the last answer arrives while the connection is being cut; RuntimeError if the timer's
    thread cannot start.
    """
    was_cut = Event()
    message = f"no answer within {within:.0f} s: the server hangs, or is out of reach"
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:

        def cut_connection() -> None:
            was_cut.set()
            with suppress(OSError):  # the server closed the connection first
                duplicate.shutdown(socket.SHUT_RDWR)

        timer = Timer(within, cut_connection)
        timer.daemon = True
        timer.start()
        try:
            yield
        except psycopg.Error as error:
            if was_cut.is_set():
                raise NoAnswerError(message) from error
            raise
        finally:
            timer.cancel()
            timer.join()
        if was_cut.is_set():  # the answer arrived at the same moment, but the connection is dead
            raise NoAnswerError(message)
