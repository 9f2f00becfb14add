"""Frames: what is sent arrives, and nothing else can make the reader wait, allocate or fail in another way."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.inside.wire import Wire, WireClosed, WireError, WireGarbage, WireTimeout

Ends = tuple[Wire, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A wire, and the other side's bare socket."""
    ours, other = socket.socketpair()
    wire = Wire(ours)
    with other:
        yield wire, other
    wire.close()


def test_arrays_arrive_as_they_were_sent() -> None:
    ours, other = socket.socketpair()
    wire, sender = Wire(ours), Wire(other)
    tokens = np.arange(6, dtype=np.int32).reshape(2, 3)
    sender.send({"op": "score"}, [tokens.T.T, np.float32([[0.5]]), np.zeros((0, 4), np.int32), np.uint8([7, 9])])
    header, arrays = wire.receive(limit=30)
    assert header == {"op": "score"}
    described = [(array.dtype.str, array.shape) for array in arrays]
    assert described == [("<i4", (2, 3)), ("<f4", (1, 1)), ("<i4", (0, 4)), ("|u1", (2,))]
    assert (arrays[0] == tokens).all()
    assert arrays[3].tolist() == [7, 9]
    wire.close()
    sender.close()


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 60000,
        b"{}",
        b'{"arrays": 3}',
        b'{"arrays": [["<i4"]]}',
        b'{"arrays": [["|O", [1]]]}',
        b'{"arrays": [[["<i4"], [1]]]}',
        b'{"arrays": [["<i4", [-1]]]}',
        b'{"arrays": [["<i4", [1e9]]]}',
        b'{"arrays": [["<i4", [true]]]}',
        b'{"arrays": [["<f4", [2000000000, 2000000000]]]}',
        b'{"arrays": [["<f4", [26]]]}',
        b'{"arrays": [["<f4", [0, 0, 0, 0, 0]]]}',
        b'{"arrays": [["<f4", [0, 2147483647, 2147483647, 2147483647]]]}',
        b"\xff\xfe",
    ],
)
def test_a_header_that_was_not_agreed_on_is_refused_before_its_arrays_are_read(ends: Ends, header: bytes) -> None:
    wire, other = ends
    other.sendall(len(header).to_bytes(4, "little") + header)
    with pytest.raises(WireGarbage):
        wire.receive(limit=100, timeout_s=5, expected=[("<f4", (2, 3))])


@given(st.binary(max_size=80))
def test_no_bytes_at_all_raise_anything_but_a_wire_error(data: bytes) -> None:
    ours, other = socket.socketpair()
    wire = Wire(ours)
    with other:
        other.sendall(data)
        try:
            wire.receive(limit=100, timeout_s=0)
        except WireError:
            pass
        finally:
            wire.close()


def test_a_silent_reader_and_a_silent_writer_both_time_out(ends: Ends) -> None:
    wire, other = ends
    with pytest.raises(WireTimeout):
        wire.receive(limit=100, timeout_s=0.05)
    other.sendall(b"\x10\0")  # half a length
    with pytest.raises(WireTimeout):
        wire.receive(limit=100, timeout_s=0.05)
    with pytest.raises(WireTimeout):
        wire.send({}, [np.zeros(1 << 20, np.float32)], timeout_s=0.05)


def test_an_end_that_is_gone_is_noticed_at_once(ends: Ends) -> None:
    wire, other = ends
    other.close()
    with pytest.raises(WireClosed):
        wire.receive(limit=100, timeout_s=5)
    with pytest.raises(WireClosed):
        wire.send({}, timeout_s=5)
