"""How long a server's answer is waited for.

Believes that every statement is bounded by the server (statements.BOUNDS), and that a server which is frozen or out of
reach keeps no bounds: then psycopg waits for ever, because the kernel of a frozen server's machine still acknowledges
what it is sent, so that no TCP timeout helps.
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
    """The server did not answer in time; what it was asked may have been done."""


@contextmanager
def answer_deadline(connection: psycopg.Connection, *, within: float) -> Iterator[None]:
    """Cut the connection after `within` seconds, in which all that is asked inside has to be answered.

    Raises NoAnswerError, also where the answer and the cut crossed; RuntimeError where no thread can start.
    """
    cut = Event()
    message = f"no answer within {within:.0f} s: the server hangs, or is out of reach"
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:

        def shut() -> None:
            cut.set()
            with suppress(OSError):  # the server was faster
                wire.shutdown(socket.SHUT_RDWR)

        timer = Timer(within, shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except psycopg.Error as error:
            if cut.is_set():
                raise NoAnswerError(message) from error
            raise
        finally:
            timer.cancel()
            timer.join()
        if cut.is_set():  # answered in its very moment: the connection is dead
            raise NoAnswerError(message)
