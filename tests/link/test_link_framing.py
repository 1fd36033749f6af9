"""Serial framing: any chunking, any line length, text and noise between frames, damage."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smp import packet as judge

from bankai_edge._link import RC, FrameError, FrameReader, crc32c, frame_encode, rc_text

packets = st.binary(min_size=1, max_size=600)
line_lengths = st.integers(8, 300)
# What a human or a log writes: no frame marker's bytes, no line end.
texts = st.binary(max_size=40).map(lambda b: b.translate(None, b"\x04\x06\r\n"))


def feed_in_pieces(reader: FrameReader, data: bytes, cuts: list[int]) -> list[tuple[str, bytes]]:
    ends = sorted({c % (len(data) + 1) for c in cuts} | {0, len(data)})
    found: list[tuple[str, bytes]] = []
    for a, b in itertools.pairwise(ends):
        found += reader.feed(data[a:b])
    return found


@given(st.lists(st.tuples(packets, texts), min_size=1, max_size=4), line_lengths,
       st.lists(st.integers(0, 10_000), max_size=8))  # fmt: skip
def test_round_trip_with_text_between(
    items: list[tuple[bytes, bytes]], line_length: int, cuts: list[int]
) -> None:
    wire, expected = b"", []
    for packet, text in items:
        wire += text + b"\n" + frame_encode(packet, line_length)
        expected += [("line", text)] * bool(text) + [("packet", packet)]
    reader = FrameReader()
    assert feed_in_pieces(reader, wire, cuts) == expected
    assert reader.errors == 0


@given(packets, line_lengths)
def test_lines_keep_their_length(packet: bytes, line_length: int) -> None:
    lines = frame_encode(packet, line_length).split(b"\n")
    assert lines.pop() == b""
    assert max(map(len, lines)) <= line_length
    assert lines[0][:2] == b"\x06\x09" and {line[:2] for line in lines[1:]} <= {b"\x04\x14"}


@given(packets, line_lengths)
def test_another_implementation_agrees(packet: bytes, line_length: int) -> None:
    """`smp`, a third party's codec, reads ours and is read by us."""
    decoder = judge.decode()
    next(decoder)
    try:
        for line in frame_encode(packet, line_length).splitlines(keepends=True):
            decoder.send(line)
        pytest.fail("the judge waits for more")
    except StopIteration as done:
        assert done.value == packet
    theirs = b"".join(judge.encode(packet, line_length))
    assert FrameReader().feed(theirs) == [("packet", packet)]


@given(packets, line_lengths, st.data())
def test_a_damaged_byte_never_gives_a_wrong_packet(
    packet: bytes, line_length: int, data: st.DataObject
) -> None:
    wire = bytearray(frame_encode(packet, line_length))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    reader = FrameReader()
    found = reader.feed(wire)
    assert all(p == packet for kind, p in found if kind == "packet")
    # whatever was broken, the next frame gets through once its line starts afresh
    assert reader.feed(b"\n" + frame_encode(packet))[-1] == ("packet", packet)


@given(st.binary(max_size=2000), packets)
def test_any_noise_then_a_packet(noise: bytes, packet: bytes) -> None:
    reader = FrameReader()
    reader.feed(noise)
    assert reader.feed(frame_encode(packet))[-1] == ("packet", packet)


def test_a_log_line_between_the_lines_of_one_frame() -> None:
    first, second = frame_encode(bytes(150)).splitlines(keepends=True)
    found = FrameReader().feed(first + b"[00:01] log\r\n" + second)
    assert found == [("line", b"[00:01] log"), ("packet", bytes(150))]


def test_a_frame_interrupts_a_half_typed_line() -> None:
    found = FrameReader().feed(b"use ar" + frame_encode(b"xyz") + b"ith\r\n")
    assert found == [("packet", b"xyz"), ("line", b"use arith")]


def test_frames_too_large_or_cut_short_are_counted_and_not_shown_as_text() -> None:
    reader = FrameReader(max_packet=64)
    assert reader.feed(frame_encode(bytes(64))) == [("packet", bytes(64))]
    assert reader.feed(frame_encode(bytes(65))) == []
    assert reader.errors == 1
    assert reader.feed(frame_encode(bytes(64), 40)[:50]) == []
    assert reader.feed(frame_encode(b"next")) == [("packet", b"next")]
    assert reader.errors == 2


def test_a_line_too_long_is_dropped_whole() -> None:
    reader = FrameReader()
    assert reader.feed(b"x" * 5000 + b"\nhelp\n") == [("line", b"help")]
    assert reader.errors == 1


def test_reset_forgets_a_half_read_frame() -> None:
    reader = FrameReader()
    reader.feed(frame_encode(bytes(500))[:200])
    reader.reset()
    assert reader.feed(b"list\n") == [("line", b"list")]
    assert reader.errors == 0


@pytest.mark.parametrize(("n", "line_length"), [(0, 127), (65534, 127), (10, 7), (10, -1)])
def test_what_the_framing_cannot_carry(n: int, line_length: int) -> None:
    with pytest.raises(FrameError, match="expected 1 to 65533 bytes in lines of at least 8"):
        frame_encode(bytes(n), line_length)


def test_largest_packet() -> None:
    packet = bytes(range(256)) * 255 + bytes(253)
    assert FrameReader(65533).feed(frame_encode(packet)) == [("packet", packet)]


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_crcs(a: bytes, b: bytes) -> None:
    assert crc32c(b, crc32c(a)) == crc32c(a + b)
    assert crc32c(b"123456789") == 0xE3069283


def test_every_error_has_a_sentence() -> None:
    texts_ = [rc_text(rc) for rc in RC.values()]
    assert list(RC.values()) == list(range(len(RC))) and len(set(texts_)) == len(texts_)
    assert all(len(t) > 3 and not t.endswith(".") for t in texts_)
    assert rc_text(3, 8) == "there is no such file" and rc_text(7, -1).startswith("the answer")
