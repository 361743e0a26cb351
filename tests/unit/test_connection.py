"""Sockets that stop receiving in time, whoever is on the other side. How requests use them stands in test_fetch."""

from __future__ import annotations

import socket
import time

import pytest

from region_tick.connection import TimedSocket


@pytest.fixture
def pair() -> tuple[TimedSocket, socket.socket]:
    ours, theirs = socket.socketpair()
    return TimedSocket(ours.family, ours.type, ours.proto, fileno=ours.detach()), theirs


def test_every_byte_comes_out_of_the_same_time(pair: tuple[TimedSocket, socket.socket]) -> None:
    ours, theirs = pair
    with ours, theirs, ours.makefile("rb") as answers:
        ours.until = time.monotonic() + 0.2
        while True:
            theirs.sendall(b"x")
            try:
                assert answers.read(1) == b"x"
            except TimeoutError:
                break
        assert time.monotonic() >= ours.until


def test_silence_ends_at_that_time_too(pair: tuple[TimedSocket, socket.socket]) -> None:
    ours, theirs = pair
    with ours, theirs:
        ours.until = time.monotonic() + 0.1
        with pytest.raises(TimeoutError):
            ours.recv_into(bytearray(1))
        assert time.monotonic() >= ours.until


def test_without_a_time_nothing_is_received(pair: tuple[TimedSocket, socket.socket]) -> None:
    ours, theirs = pair
    with ours, theirs:
        theirs.sendall(b"x")
        with pytest.raises(TimeoutError):
            ours.recv_into(bytearray(1))
