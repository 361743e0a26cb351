"""Sockets that stop receiving in time and in size, whoever is on the other side; test_fetch is about their use."""

from __future__ import annotations

import socket
import time

import pytest

from region_tick.http_connection import BoundedSocket, TooMuchError


@pytest.fixture
def pair() -> tuple[BoundedSocket, socket.socket]:
    ours, theirs = socket.socketpair()
    bounded = BoundedSocket(ours.family, ours.type, ours.proto, fileno=ours.detach())
    bounded.room = 10**6
    return bounded, theirs


def test_every_byte_comes_out_of_the_same_time(pair: tuple[BoundedSocket, socket.socket]) -> None:
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


def test_silence_ends_at_that_time_too(pair: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = pair
    with ours, theirs:
        ours.until = time.monotonic() + 0.1
        with pytest.raises(TimeoutError):
            ours.recv_into(bytearray(1))
        assert time.monotonic() >= ours.until


def test_without_a_time_nothing_is_received(pair: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = pair
    with ours, theirs:
        theirs.sendall(b"x")
        with pytest.raises(TimeoutError):
            ours.recv_into(bytearray(1))


def test_no_more_is_received_than_there_is_room_for(pair: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = pair
    with ours, theirs:
        ours.until, ours.room = time.monotonic() + 10, 3
        for size in (2, 1):
            theirs.sendall(bytes(size))
            assert ours.recv_into(bytearray(8)) == size
        theirs.sendall(b"x")
        with pytest.raises(TooMuchError):
            ours.recv_into(bytearray(8))
