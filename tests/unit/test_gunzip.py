"""Gzip bodies in pieces: all that is in them, in bounded pieces, or an error."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.gunzip import PIECE, CutShortError, gunzip

BODIES = st.lists(st.binary(max_size=200), min_size=1, max_size=3)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(BODIES, st.integers(1, 50), st.sampled_from([b"", bytes(20), b"\n"]))
def test_all_members_come_out_however_they_are_cut(bodies: list[bytes], size: int, padding: bytes) -> None:
    packed = b"".join(gzip.compress(body) for body in bodies) + padding
    assert b"".join(gunzip(pieces(packed, size))) == b"".join(bodies)


@given(BODIES, st.integers(1, 50), st.data())
def test_a_stream_that_breaks_off_is_an_error(bodies: list[bytes], size: int, data: st.DataObject) -> None:
    *first, last = [gzip.compress(body) for body in bodies]
    cut = data.draw(st.integers(1, len(last) - 1))
    with pytest.raises(CutShortError):
        list(gunzip(pieces(b"".join(first) + last[:cut], size)))


def test_no_piece_is_larger_than_said() -> None:
    body = bytes(20 * PIECE)
    unpacked = list(gunzip([gzip.compress(body)]))
    assert max(map(len, unpacked)) == PIECE
    assert b"".join(unpacked) == body


def test_nothing_at_all_is_an_empty_body() -> None:
    assert list(gunzip([])) == []


@pytest.mark.parametrize(
    "packed",
    [b"no gzip at all", gzip.compress(b"x")[:-8] + bytes(8), gzip.compress(b"") + b"\x1f\x00"],
    ids=["none at all", "another checksum", "followed by something else"],
)
def test_what_is_no_gzip_is_an_error(packed: bytes) -> None:
    with pytest.raises(zlib.error):
        list(gunzip([packed]))


def test_all_is_read_although_nothing_of_it_is_wanted() -> None:
    rest = iter([gzip.compress(b"x") + b"\0", b"\0", b"\x1f\x8b"])
    assert b"".join(gunzip(rest)) == b"x"
    assert list(rest) == []
