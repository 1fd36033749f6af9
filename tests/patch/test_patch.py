"""The .bkp format: one encoding for a patch, small, and strict about everything else."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bankai_edge.patch
from bankai_edge import _patch
from bankai_edge._facts import Err
from bankai_edge.errors import BankaiError, CoreError, IncompatibleError
from bankai_edge.patch import Patch, decode, encode, flips

NANO_SHAPE = [(256, 256), (128, 256), (128, 256), (256, 256), (768, 256), (768, 256), (256, 768)]
ROW_KEY, GROUP_KEY, BIT_KEY = 4, 5, 6

# ---- strategies ------------------------------------------------------------------------------

_layer, _projection = st.integers(0, 63), st.integers(0, 6)
_index = st.integers(0, 300) | st.integers(0, 2**24 - 1)
_rows = st.frozensets(st.tuples(_layer, _projection, _index), max_size=12)
_cells = st.frozensets(st.tuples(_layer, _projection, _index, _index), max_size=12)
_text = st.text(max_size=20)
_scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.floats(width=32, allow_nan=False)
    | st.floats(width=16, allow_nan=False)
    | _text
    | st.binary(max_size=20)
)
_value = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
).filter(lambda value: _depth(value) <= 7)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@st.composite
def patches(draw: st.DrawFn) -> Patch:
    """Any patch that the format allows."""
    rows, groups, bits = draw(_rows), draw(_cells), draw(_cells)
    if not (rows or groups or bits):
        rows = frozenset({(0, 0, 0)})
    bound = draw(st.booleans())
    return Patch(
        name=draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,31}", fullmatch=True)),
        domain=draw(st.none() | st.text(min_size=1, max_size=16)),
        model_id=draw(st.binary(min_size=32, max_size=32)) if bound else None,
        rows=tuple(sorted(rows)),
        groups=tuple(sorted(groups)),
        bits=tuple(sorted(bits)),
        crc=draw(st.integers(0, 2**32 - 1)) if bound else None,
        canaries=tuple(draw(st.lists(st.tuples(_text, _text), max_size=3))),
        provenance=draw(st.dictionaries(_text, _value, max_size=4)),
        sequence=draw(st.none() | st.integers(0, 2**32 - 1)),
        extensions=draw(st.dictionaries(st.integers(64, 2**32 - 1), _value, max_size=2)),
    )


def fields_of(patch: Patch) -> dict[int, Any]:
    fields = cbor2.loads(encode(patch))
    assert isinstance(fields, dict)
    return fields


def code_of(data: bytes) -> int:
    """The core's judgement: 0 when it accepts."""
    try:
        _patch.parse(data)
    except CoreError as error:
        return error.code
    return 0


BOUND = Patch(
    "arith.v1",
    domain="arithmetic",
    model_id=bytes(range(32)),
    rows=((0, 0, 7), (2, 5, 100)),
    bits=((1, 6, 3, 700),),
    crc=0x01020304,
    canaries=(("2+2=", "4"),),
    provenance={"creator": "tests", "fitness": 0.25},
    sequence=3,
)


# ---- the codec -------------------------------------------------------------------------------


@given(patches())
def test_round_trip(patch: Patch) -> None:
    """Decoding gives the patch back; encoding it again gives the bytes back."""
    data = encode(patch)
    assert decode(data) == patch
    assert encode(decode(data)) == data


@given(patches())
def test_the_core_reads_what_python_writes(patch: Patch) -> None:
    parsed = _patch.parse(encode(patch))
    assert parsed == {
        "name": patch.name,
        "domain": patch.domain,
        "model_id": patch.model_id,
        "crc": patch.crc,
        "rows": len(patch.rows),
        "groups": len(patch.groups),
        "bits": len(patch.bits),
        "canaries": len(patch.canaries),
        "sequence": patch.sequence,
    }


@settings(max_examples=300)
@given(patches(), st.data())
def test_damage_is_refused_or_another_patch(patch: Patch, data: st.DataObject) -> None:
    """No bytes crash the core, and Python agrees: what parses is the one encoding of a patch."""
    damaged = bytearray(encode(patch))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.sampled_from(["set", "drop", "insert", "cut"])):
            case "set":
                damaged[at] = data.draw(st.integers(0, 255))
            case "drop" if len(damaged) > 1:
                del damaged[at]
            case "insert":
                damaged.insert(at, data.draw(st.integers(0, 255)))
            case "cut" if at:
                del damaged[at:]
    found = bytes(damaged)
    if code_of(found) != 0:
        with pytest.raises(IncompatibleError):
            decode(found)
        return
    read = decode(found)
    assert encode(read).__class__ is bytes  # every accepted patch can be written again
    assert cbor2.dumps(cbor2.loads(found), canonical=True) == found
    assert decode(encode(read)) == read or read != read  # NaN in provenance equals nothing


@settings(max_examples=500)
@given(st.binary(min_size=2, max_size=24), st.booleans(), st.integers(0, 6), st.integers(0, 9))
def test_stream_readers_agree(body: bytes, columns: bool, k: int, width: int) -> None:
    """Python's reader and the core's accept the same streams and count the same flips."""
    stream = bytes((k, width if columns else 0)) + body[2:]
    key = BIT_KEY if columns else ROW_KEY
    data = cbor2.dumps({0: 1, 1: "x", key: stream}, canonical=True)
    try:
        found = flips.decode(stream, columns=columns)
    except flips.StreamError:
        assert code_of(data) == Err.MALFORMED
        return
    assert _patch.parse(data)["bits" if columns else "rows"] == len(found)
    flips.check(found, columns=columns)
    assert flips.decode(flips.encode(found, columns=columns), columns=columns) == found


def test_a_known_file() -> None:
    """The bytes of a small patch, worked out by hand from bkp.cddl.

    s - (-1) is 2: 010; count 1: 1; row 5 takes 1 + 5 bits with k = 0 (two bytes in all), and with
    k = 1, the smallest k that needs only one byte, two ones, a zero, a one: 1101.
    """
    patch = Patch("a", rows=((0, 1, 5),))
    assert encode(patch) == bytes.fromhex("a3 00 01 01 61 61 04 43 01 00 5d")


@given(patches())
def test_cddl(patch: Patch) -> None:
    """Every patch written fits the description that ships with the package."""
    pycddl = pytest.importorskip("pycddl", reason="pycddl is a test requirement")
    # of all keys `.ge 64`, this validator knows the number 64 only
    one = dict(zip([64], patch.extensions.values(), strict=False))
    _schema(pycddl).validate_cbor(encode(replace(patch, extensions=one)))


def test_cddl_refuses() -> None:
    pycddl = pytest.importorskip("pycddl", reason="pycddl is a test requirement")
    for key, value in [(0, 2), (3, b"x"), (7, 2**32), (8, []), (9, {}), (11, 1), (63, 1)]:
        data = cbor2.dumps({**fields_of(BOUND), key: value}, canonical=True)
        with pytest.raises(pycddl.ValidationError):
            _schema(pycddl).validate_cbor(data)
        assert code_of(data) != 0


def _schema(pycddl: Any) -> Any:
    return pycddl.Schema((Path(bankai_edge.patch.__file__).parent / "bkp.cddl").read_text())


# ---- sizes -----------------------------------------------------------------------------------


def test_size_of_93_rows() -> None:
    """The published 8B patch's size, with provenance, in 512 bytes."""
    rng = random.Random(1)
    rows: set[tuple[int, ...]] = set()
    while len(rows) < 93:
        rows.add((rng.choice([1, 2, 3, 4, 34]), rng.choice([4, 5]), rng.randrange(12288)))
    provenance = {
        "creator": "someone@example.org",
        "tool": "bankai-edge 0.1.0",
        "metric": "min-of-probes",
        "fitness": 0.386279296875,
        "probes": 60,
        "controls": 40,
    }
    patch = replace(BOUND, rows=tuple(sorted(rows)), bits=(), provenance=provenance)
    assert len(encode(patch)) <= 512


@pytest.mark.parametrize("seed", range(5))
def test_size_of_100_bits(seed: int) -> None:
    """At most 3 bytes a flip plus 200, on the nano model's shape."""
    rng = random.Random(seed)
    weights = [rows * cols for rows, cols in NANO_SHAPE]
    bits: set[tuple[int, ...]] = set()
    while len(bits) < 100:
        projection = rng.choices(range(7), weights)[0]
        rows, cols = NANO_SHAPE[projection]
        bits.add((rng.randrange(6), projection, rng.randrange(rows), rng.randrange(cols)))
    patch = replace(BOUND, rows=(), bits=tuple(sorted(bits)))
    assert len(encode(patch)) <= 3 * 100 + 200


# ---- refusals --------------------------------------------------------------------------------


def test_every_truncation_is_refused() -> None:
    data = encode(BOUND)
    for n in range(len(data)):
        with pytest.raises(IncompatibleError, match="truncated"):
            decode(data[:n])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({0: 2}, Err.VERSION),
        ({1: "Upper"}, Err.MALFORMED),
        ({1: ""}, Err.MALFORMED),
        ({1: "../x"}, Err.MALFORMED),
        ({1: "a" * 33}, Err.MALFORMED),
        ({1: ".hidden"}, Err.MALFORMED),
        ({1: b"bytes"}, Err.MALFORMED),
        ({2: ""}, Err.MALFORMED),
        ({2: "d" * 65}, Err.MALFORMED),
        ({3: bytes(31)}, Err.MALFORMED),
        ({3: None}, Err.MALFORMED),
        ({ROW_KEY: b""}, Err.MALFORMED),
        ({ROW_KEY: bytes((0, 0))}, Err.MALFORMED),
        ({7: 2**32}, Err.MALFORMED),
        ({7: -1}, Err.MALFORMED),
        ({8: []}, Err.MALFORMED),
        ({8: [["one"]]}, Err.MALFORMED),
        ({8: [["one", "two", "three"]]}, Err.MALFORMED),
        ({9: {}}, Err.MALFORMED),
        ({9: {1: 2}}, Err.MALFORMED),
        ({9: []}, Err.MALFORMED),
        ({10: 2**32}, Err.MALFORMED),
        ({11: 1}, Err.MALFORMED),
        ({63: 1}, Err.MALFORMED),
        ({2**32: 1}, Err.MALFORMED),
        ({-1: 1}, Err.MALFORMED),
        ({"x": 1}, Err.MALFORMED),
    ],
    ids=repr,
)
def test_bad_field(change: dict[Any, Any], code: int) -> None:
    data = cbor2.dumps({**fields_of(BOUND), **change}, canonical=True)
    assert code_of(data) == code
    with pytest.raises(IncompatibleError):
        decode(data)


@pytest.mark.parametrize("missing", [0, 1, 3, 7])
def test_missing_field(missing: int) -> None:
    """Version and name are needed, and model id and CRC only come together."""
    fields = fields_of(BOUND)
    del fields[missing]
    assert code_of(cbor2.dumps(fields, canonical=True)) == Err.MALFORMED


def test_no_flips() -> None:
    with pytest.raises(BankaiError):
        encode(Patch("empty"))


@pytest.mark.parametrize(
    "provenance",
    [
        "a1 61 61 f9 7e 01",  # another NaN
        "a1 61 61 fa 3f 80 00 00",  # 1.0 in 32 bits
        "a1 61 61 fb 3f f0 00 00 00 00 00 00",  # 1.0 in 64 bits
        "a1 61 61 fa 7f c0 00 00",
        "a1 61 61 18 17",  # 23 in two bytes
        "a1 61 61 9f ff",  # indefinite length
        "a1 61 61 f7",  # undefined
        "a1 61 61 f0",  # a simple value without a meaning
        "a1 61 61 c1 00",  # a tag
        "a1 61 61 d8 1c 80",  # a shared value
        "a1 61 61 c2 49 01 00 00 00 00 00 00 00 00",  # a big number
        "a1 61 61 62 c3 28",  # no UTF-8
        "a1 61 61 63 ed a0 80",  # a surrogate
        "a1 61 61 62 c0 80",  # an overlong NUL
        "a2 61 62 00 61 61 00",  # keys out of order
        "a2 62 61 61 00 61 62 00",  # a longer key first
        "a2 61 61 00 61 61 00",  # a key twice
        "a1 61 61 81 81 81 81 81 81 81 81 00",  # nine containers
        "bf 61 61 00 ff",
        "b8 01 61 61 00",
        "bb 7f ff ff ff ff ff ff ff 61 61 00",  # a count beyond all bytes
    ],
)
def test_nondeterministic_value(provenance: str) -> None:
    """Only the one shortest form is a patch; the core checks what zcbor leaves open."""
    head = bytes.fromhex("a4 00 01 01 61 61 04 43 01 00 5d 09")
    assert code_of(head + bytes.fromhex("a1 61 61 00")) == 0
    assert code_of(head + bytes.fromhex("a1 61 61 81 81 81 81 81 81 81 00")) == 0
    assert code_of(head + bytes.fromhex(provenance)) in (Err.MALFORMED, Err.TRUNCATED)


@given(st.floats(), st.sampled_from(["e", "f", "d"]))
def test_only_the_shortest_float(value: float, form: str) -> None:
    """The core's rule for floats is cbor2's."""
    try:
        encoded = bytes((b"efd".index(form.encode()) + 0xF9,)) + struct.pack(">" + form, value)
    except OverflowError:
        return
    head = bytes.fromhex("a4 00 01 01 61 61 04 43 01 00 5d 09 a1 61 61")
    shortest = cbor2.dumps(cbor2.loads(encoded), canonical=True) == encoded
    assert (code_of(head + encoded) == 0) == shortest


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "truncated"),
        (b"\xd2\x84\x43\xa1\x01\x27", "signed"),
        (b"GGUF\x03\x00\x00\x00", "no patch"),
        (b'{"flips": []}', "no patch"),
        (encode(BOUND) + b"\x00", "damaged"),
        (cbor2.dumps({**fields_of(BOUND), 0: 7}, canonical=True), "version 7"),
    ],
)
def test_sentences(data: bytes, found: str) -> None:
    """The error says what was found, and exits with 4."""
    with pytest.raises(IncompatibleError, match=found) as caught:
        decode(data, "x.bkp")
    assert str(caught.value).startswith("x.bkp")


def test_unencodable_fields() -> None:
    for bad in [
        replace(BOUND, name="Bad Name"),
        replace(BOUND, rows=((1, 0, 0), (0, 0, 0))),
        replace(BOUND, rows=((0, 0, 0), (0, 0, 0))),
        replace(BOUND, rows=((0, 7, 0),)),
        replace(BOUND, rows=((0, 0, 2**24),)),
        replace(BOUND, bits=((0, 0, 1),)),
        replace(BOUND, crc=None),
        replace(BOUND, model_id=b"short"),
        replace(BOUND, provenance={"big": 2**64}),
        replace(BOUND, provenance={"what": object()}),
        replace(BOUND, provenance={"text": "\ud800"}),
        replace(BOUND, sequence=-1),
        replace(BOUND, extensions={12: 0}),
    ]:
        with pytest.raises(BankaiError):
            encode(bad)


def test_stream_limits() -> None:
    """Counts and runs that promise more than the bytes hold end at once."""
    for stream in (
        bytes(2) + b"\xff" * 4096,
        bytes(2) + bytes(4096),
        bytes((31, 0)) + b"\xff" * 64,
    ):
        with pytest.raises(flips.StreamError):
            flips.decode(stream, columns=False)
        assert (
            code_of(cbor2.dumps({0: 1, 1: "x", ROW_KEY: stream}, canonical=True)) == Err.MALFORMED
        )
    largest = ((4095, 6, 2**24 - 1, 2**24 - 1),)
    assert flips.decode(flips.encode(largest, columns=True), columns=True) == largest


def test_at_most_eight_patches_at_once() -> None:
    class NoModel:
        def capsule(self) -> object:
            raise AssertionError("not reached")

    with pytest.raises(CoreError) as caught:
        _patch.Overlay(NoModel(), [encode(BOUND)] * 9)
    assert caught.value.code == Err.LIMIT
