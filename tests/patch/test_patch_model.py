"""Patches on the shipped model: both ways of applying agree to the last bit, and leave no trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bankai_edge import _engine, _patch
from bankai_edge._facts import GROUP, GROUP_BYTES, Err
from bankai_edge.errors import CoreError, IncompatibleError
from bankai_edge.patch import Patch, encode
from bankai_edge.patch.bind import bind
from bankai_edge.patch.refusals import patch_error, short_id
from support.weights import TOKENS, Weights


@pytest.fixture(scope="module")
def pristine(nano_path: Path) -> bytes:
    return nano_path.read_bytes()


@pytest.fixture
def weights(pristine: bytes) -> Weights:
    return Weights(bytearray(pristine))


@pytest.mark.parametrize(
    "kinds",
    [{"rows": 20}, {"groups": 20}, {"bits": 50}, {"rows": 15, "groups": 15, "bits": 15}],
    ids=lambda kinds: "+".join(kinds),
)
def test_in_place_and_overlay_agree(
    weights: Weights, pristine: bytes, kinds: dict[str, int]
) -> None:
    patch = weights.random_patch(1, **kinds)
    before = weights.logits()
    overlaid = weights.overlay_logits(patch)
    assert weights.buffer == pristine
    assert overlaid != before
    weights.flip(patch)
    assert weights.buffer != pristine
    assert weights.logits() == overlaid
    weights.flip(patch)
    assert weights.buffer == pristine
    assert weights.logits() == before


def test_overlapping_patches_in_either_order(weights: Weights, pristine: bytes) -> None:
    a = weights.random_patch(2, rows=10, groups=10, bits=10)
    b = weights.random_patch(3, rows=5, bits=5)
    rows = tuple(sorted({*b.rows, *a.rows[:4], *(flip[:3] for flip in a.bits[:3])}))
    b = bind(Patch("b", rows=rows, bits=tuple(sorted({*b.bits, *a.bits[2:6]}))), weights)
    ab, ba = weights.overlay_logits(a, b), weights.overlay_logits(b, a)
    assert ab == ba
    assert ab not in (weights.overlay_logits(a), weights.overlay_logits(b), weights.logits())
    weights.flip(a, b)
    one = bytes(weights.buffer)
    assert weights.logits() == ab
    weights.flip(a)
    assert weights.logits() == weights_of(pristine).overlay_logits(b)
    weights.flip(b, b, a)
    assert weights.buffer == one
    weights.flip(b, a)
    assert weights.buffer == pristine


def weights_of(pristine: bytes) -> Weights:
    return Weights(bytearray(pristine))


def test_a_patch_twice_is_nothing(weights: Weights) -> None:
    patch = weights.random_patch(4, rows=8, bits=8)
    assert weights.overlay_logits(patch, patch) == weights.logits()


def test_overlay_is_small(weights: Weights) -> None:
    """Rows cost 8 bytes each; rows with finer flips a copy of themselves."""
    rows = _patch.Overlay(weights.core, [encode(weights.random_patch(5, rows=40))])
    bits = _patch.Overlay(weights.core, [encode(weights.random_patch(5, bits=40))])
    assert (rows.n_rows, rows.n_shadows) == (40, 0)
    assert bits.n_rows == bits.n_shadows <= 40
    index = 4 * (len(weights.matrices) + 1)
    assert rows.n_bytes == index + 40 * 8
    widest = max(cols for _, cols, _ in weights.matrices.values()) // GROUP * GROUP_BYTES
    assert bits.n_bytes <= index + bits.n_rows * (8 + widest)


def test_bind_sums_the_rows(weights: Weights, pristine: bytes) -> None:
    """The CRC is over each touched row's bytes, once, in (layer, projection, row) order."""
    patch = weights.random_patch(6, rows=5, groups=5, bits=5)
    touched = sorted({flip[:3] for flip in (*patch.rows, *patch.groups, *patch.bits)})
    data = b""
    for layer, projection, row in touched:
        _, cols, offset = weights.matrices[layer, projection]
        n_bytes = cols // GROUP * GROUP_BYTES
        data += pristine[offset + row * n_bytes : offset + (row + 1) * n_bytes]
    assert patch.crc == crc32c(data)
    assert patch.model_id == weights.id
    assert bind(patch, weights) == patch


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def refusal(weights: Weights, patch: Patch, allow_unbound: bool = False) -> IncompatibleError:
    before = bytes(weights.buffer)
    with pytest.raises(CoreError) as caught:
        _patch.check(weights.core, encode(patch), allow_unbound)
    assert weights.buffer == before
    error = patch_error(caught.value, encode(patch), weights.id)
    assert isinstance(error, IncompatibleError)
    return error


def test_another_model_is_refused_with_both_ids(weights: Weights) -> None:
    other = bytes(range(32))
    patch = replace(weights.random_patch(7, rows=3), model_id=other)
    sentence = str(refusal(weights, patch))
    assert short_id(other) in sentence
    assert short_id(weights.id) in sentence
    with pytest.raises(IncompatibleError, match=short_id(other)):
        bind(patch, weights)


def test_other_rows_are_refused(weights: Weights) -> None:
    """One changed bit anywhere in a touched row is seen; one beside it does not matter."""
    patch = weights.random_patch(8, bits=3)
    layer, projection, row, _ = patch.bits[1]
    n_rows, cols, offset = weights.matrices[layer, projection]
    n_bytes = cols // GROUP * GROUP_BYTES
    weights.buffer[offset + row * n_bytes + n_bytes - 1] ^= 0x80
    assert "CRC" in str(refusal(weights, patch))
    weights.buffer[offset + row * n_bytes + n_bytes - 1] ^= 0x80
    beside = next(r for r in range(n_rows) if (layer, projection, r) not in
                  {flip[:3] for flip in patch.bits})  # fmt: skip
    weights.buffer[offset + beside * n_bytes] ^= 1
    _patch.check(weights.core, encode(patch))


def test_out_of_range_is_refused(weights: Weights) -> None:
    layers = weights.core.shape["layers"]
    n_rows, cols, _ = weights.matrices[0, 6]
    for patch in [
        Patch("layer", rows=((0, 0, 0), (layers, 0, 0))),
        Patch("row", rows=((0, 0, 0), (0, 6, n_rows))),
        Patch("group", groups=((0, 6, 0, cols // 128),)),
        Patch("bit", bits=((0, 6, 0, cols),)),
    ]:
        assert "does not have" in str(refusal(weights, patch, allow_unbound=True))
        before = bytes(weights.buffer)
        for apply in (
            lambda data: _patch.xor_in_place(weights.core, data),
            lambda data: _patch.Overlay(weights.core, [data]),
        ):
            with pytest.raises(CoreError):
                apply(encode(patch))
        assert weights.buffer == before
        with pytest.raises(IncompatibleError):
            bind(patch, weights)


def test_unbound_needs_permission(weights: Weights) -> None:
    patch = Patch("loose", rows=((0, 0, 0),))
    assert "unbound" in str(refusal(weights, patch))
    _patch.check(weights.core, encode(patch), allow_unbound=True)


def test_swap_is_all_or_nothing(weights: Weights, pristine: bytes) -> None:
    a, b = weights.random_patch(9, rows=9, bits=9), weights.random_patch(10, rows=9, groups=9)
    assert b.crc is not None
    bad = replace(b, name="bad", crc=b.crc ^ 1)
    _patch.swap(weights.core, [], [encode(a)])
    with_a = bytes(weights.buffer)
    with pytest.raises(CoreError):
        _patch.swap(weights.core, [encode(a)], [encode(b), encode(bad)])
    assert weights.buffer == with_a
    _patch.swap(weights.core, [encode(a)], [encode(b), encode(a)])
    assert weights.logits() == weights_of(pristine).overlay_logits(a, b)
    _patch.swap(weights.core, [encode(b), encode(a)], [])
    assert weights.buffer == pristine


def test_read_only_weights_stay_so(pristine: bytes) -> None:
    weights = Weights(bytearray(pristine))
    patch = encode(weights.random_patch(11, rows=1))
    with pytest.raises(CoreError) as caught:
        _patch.xor_in_place(_engine.Model(pristine), patch)
    assert caught.value.code == Err.READ_ONLY


def test_overlay_keeps_its_model_alive(pristine: bytes) -> None:
    """State and overlay outlive every other reference to model and patch bytes."""
    weights = Weights(bytearray(pristine))
    patch = weights.random_patch(12, rows=3, bits=3)
    expected = weights.overlay_logits(patch)
    state = _engine.State(_engine.Model(bytes(pristine)), 16)
    state.set_overlay(_patch.Overlay(_engine.Model(bytes(pristine)), [bytes(encode(patch))]))
    out = np.empty((len(TOKENS), weights.core.shape["vocab"]), np.float32)
    state.forward_all(TOKENS, out.reshape(-1))
    assert out.tobytes() == expected
