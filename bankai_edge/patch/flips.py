"""Flip streams: sets of rows, groups or bits as the fewest bytes; bk_flips.h reads.

A stream is bit-packed, most significant bit first: a byte k (Rice parameter), a byte w (bits of a
column), then sections in ascending order of s = layer * 7 + projection: EliasGamma(s - previous s),
EliasGamma(count), then per flip Rice_k(row - previous row) and w bits of column; padded with fewer
than 8 zero bits. `previous s` is -1 at first, `previous row` is 0 at the start of a section.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from bankai_edge._facts import FLIPS_BITS, FLIPS_BYTES, FLIPS_SECTIONS, PROJECTIONS

PER_LAYER = len(PROJECTIONS)
MAX_RICE = 31

Flip = tuple[int, ...]
"""(layer, projection, row), or (layer, projection, row, column): a group's or a weight's index."""


class StreamError(ValueError):
    """A stream, or a set of flips, that the format does not allow."""


def check(flips: Sequence[Flip], *, columns: bool) -> None:
    """Raise StreamError unless the flips are in order, distinct and within the format's bounds."""
    previous: Flip = ()
    for flip in flips:
        if len(flip) != 3 + columns or not all(type(part) is int for part in flip):
            raise StreamError(f"{flip!r} is no flip of {3 + columns} integers")
        layer, projection, *rest = flip
        if not (0 <= projection < PER_LAYER and 0 <= layer < FLIPS_SECTIONS // PER_LAYER):
            raise StreamError(f"layer {layer}, projection {projection} do not exist")
        if any(not 0 <= part < 1 << FLIPS_BITS for part in rest):
            raise StreamError(f"{flip!r} has a row or column beyond 2**{FLIPS_BITS} - 1")
        if flip <= previous:
            raise StreamError(f"{flip!r} does not follow {previous!r}")
        previous = flip
    if len(flips) >= 1 << FLIPS_BITS:
        raise StreamError(f"{len(flips)} flips are too many")


def encode(flips: Sequence[Flip], *, columns: bool) -> bytes:
    """Encode sorted, distinct flips (at least one) with the k that gives the fewest bytes."""
    check(flips, columns=columns)
    if not flips:
        raise StreamError("a stream holds at least one flip")
    width = max(flip[3] for flip in flips).bit_length() if columns else 0
    sections = [
        (section, list(members))
        for section, members in groupby(flips, key=lambda flip: flip[0] * PER_LAYER + flip[1])
    ]
    k = min(range(FLIPS_BITS + 1), key=lambda k: (_size_bytes(sections, k, width), k))
    bits = _Writer()
    previous_section = -1
    for section, members in sections:
        bits.gamma(section - previous_section)
        bits.gamma(len(members))
        previous_section, previous_row = section, 0
        for flip in members:
            bits.rice(flip[2] - previous_row, k)
            if columns:
                bits.put(flip[3], width)
            previous_row = flip[2]
    stream = bytes((k, width)) + bits.bytes()
    if len(stream) > FLIPS_BYTES:
        raise StreamError(f"{len(stream)} bytes of flips are too many")
    return stream


def decode(stream: bytes, *, columns: bool) -> tuple[Flip, ...]:
    """Decode one stream; StreamError for anything but a canonical, complete one."""
    if not 2 <= len(stream) <= FLIPS_BYTES:
        raise StreamError(f"a stream of {len(stream)} bytes")
    k, width = stream[0], stream[1]
    if k > MAX_RICE or width > (FLIPS_BITS if columns else 0):
        raise StreamError(f"Rice parameter {k}, column width {width}")
    bits = _Reader(stream, 16)
    flips: list[Flip] = []
    section, widest = -1, 0
    while not bits.at_padding():
        section += bits.gamma()
        if section >= FLIPS_SECTIONS:
            raise StreamError(f"section {section} does not exist")
        layer, projection = divmod(section, PER_LAYER)
        row, previous = 0, -1
        for _ in range(bits.gamma()):
            step = bits.rice(k)
            row += step
            if row >= 1 << FLIPS_BITS:
                raise StreamError(f"row {row} is beyond 2**{FLIPS_BITS} - 1")
            column = bits.take(width)
            if step == 0 and column <= previous:
                raise StreamError(f"row {row} is named out of order or twice")
            previous, widest = column, max(widest, column)
            flips.append((layer, projection, row, column) if columns else (layer, projection, row))
    if not flips or widest.bit_length() != width:
        raise StreamError("no flips" if not flips else f"columns of {width} bits are too wide")
    return tuple(flips)


def _size_bytes(sections: list[tuple[int, list[Flip]]], k: int, width: int) -> int:
    """Bytes of the stream's body for a Rice parameter."""
    bits, previous_section = 0, -1
    for section, members in sections:
        bits += 2 * (section - previous_section).bit_length() - 1
        bits += 2 * len(members).bit_length() - 1
        previous_section, previous_row = section, 0
        for flip in members:
            bits += ((flip[2] - previous_row) >> k) + 1 + k + width
            previous_row = flip[2]
    return (bits + 7) // 8


class _Writer:
    """Bits, most significant first."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def put(self, value: int, n: int) -> None:
        if n:
            self._bits.append(format(value, f"0{n}b"))

    def gamma(self, value: int) -> None:
        n = value.bit_length()
        self.put(value, 2 * n - 1)

    def rice(self, value: int, k: int) -> None:
        self._bits.append("1" * (value >> k) + "0")
        self.put(value & ((1 << k) - 1), k)

    def bytes(self) -> bytes:
        text = "".join(self._bits)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


class _Reader:
    """Bits of `data` from bit `at` on; StreamError past the end."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._n = len(data) * 8
        self._at = at

    def at_padding(self) -> bool:
        """Are fewer than 8 bits left, all zero?"""
        left = self._n - self._at
        return left < 8 and (left == 0 or self._data[-1] & ((1 << left) - 1) == 0)

    def take(self, n: int) -> int:
        """The next n bits as a number."""
        if n == 0:
            return 0
        if self._n - self._at < n:
            raise StreamError("the stream ends within a number")
        first, last = self._at >> 3, (self._at + n - 1) >> 3
        window = int.from_bytes(self._data[first : last + 1], "big")
        self._at += n
        return (window >> ((last + 1) * 8 - self._at)) & ((1 << n) - 1)

    def gamma(self) -> int:
        zeros = 0
        while self.take(1) == 0:
            zeros += 1
            if zeros >= FLIPS_BITS:
                raise StreamError(f"a number beyond 2**{FLIPS_BITS} - 1")
        return 1 << zeros | self.take(zeros)

    def rice(self, k: int) -> int:
        quotient = 0
        while self.take(1) == 1:
            quotient += 1
            if quotient << k >= 1 << FLIPS_BITS:
                raise StreamError(f"a step beyond 2**{FLIPS_BITS} - 1")
        value = (quotient << k) + self.take(k)
        if value >= 1 << FLIPS_BITS:
            raise StreamError(f"a step beyond 2**{FLIPS_BITS} - 1")
        return value
