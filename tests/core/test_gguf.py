"""Model files that are truncated, hostile or simply another model: refused, never read past."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankai_edge import _engine
from bankai_edge._facts import Err
from bankai_edge.errors import BankaiError, CoreError, IncompatibleError
from bankai_edge.model import Model
from bankai_edge.shipped import NANO

BYTES = NANO.read_bytes()
HEADER = BYTES.index(b"token_embd.weight")  # the first tensor record lies after all key/values


def at(needle: bytes, skip: int = 0) -> int:
    """Offset just past `needle`."""
    return BYTES.index(needle) + len(needle) + skip


def put(offset: int, form: str, value: int | float) -> bytes:
    """The nano with one field overwritten."""
    raw = struct.pack(form, value)
    return BYTES[:offset] + raw + BYTES[offset + len(raw) :]


def record(name: bytes) -> int:
    """Offset of a tensor record's n_dims field."""
    key = struct.pack("<Q", len(name)) + name
    return BYTES.index(key) + len(key)


HOSTILE: dict[str, tuple[bytes, Err]] = {
    "empty": (b"", Err.MAGIC),
    "magic": (b"GGML" + BYTES[4:], Err.MAGIC),
    "version": (put(4, "<I", 2), Err.VERSION),
    "big-endian version": (put(4, ">I", 3), Err.VERSION),
    "tensor count": (put(8, "<Q", 2**63)[: HEADER + 40], Err.TRUNCATED),
    "kv count": (put(16, "<Q", 2**63), Err.TRUNCATED),
    "key length": (put(24, "<Q", 2**64 - 1), Err.TRUNCATED),
    "key too long": (put(24, "<Q", 70000), Err.MALFORMED),
    "value type": (put(at(b"general.architecture"), "<I", 99), Err.MALFORMED),
    "string length": (put(at(b"general.architecture", 4), "<Q", 2**62), Err.TRUNCATED),
    "array count": (put(at(b"tokenizer.ggml.tokens", 8), "<Q", 2**61), Err.TRUNCATED),
    "nested array": (put(at(b"tokenizer.ggml.tokens", 4), "<I", 9), Err.MALFORMED),
    "tensor name length": (put(record(b"output_norm.weight") - 26, "<Q", 65), Err.MALFORMED),
    "no dimensions": (put(record(b"output_norm.weight"), "<I", 0), Err.MALFORMED),
    "five dimensions": (put(record(b"output_norm.weight"), "<I", 5), Err.MALFORMED),
    "zero dimension": (put(record(b"output_norm.weight") + 4, "<Q", 0), Err.SHAPE),
    "huge dimension": (put(record(b"output_norm.weight") + 4, "<Q", 2**62), Err.SHAPE),
    "columns not blocks": (put(record(b"token_embd.weight") + 4, "<Q", 255), Err.SHAPE),
    "tensor type": (put(record(b"token_embd.weight") + 20, "<I", 40), Err.TENSOR_TYPE),
    "another fork's type": (put(record(b"token_embd.weight") + 20, "<I", 142), Err.TENSOR_TYPE),
    "offset beyond": (put(record(b"token_embd.weight") + 24, "<Q", 2**40), Err.TRUNCATED),
    "offset unaligned": (put(record(b"token_embd.weight") + 24, "<Q", 1), Err.MALFORMED),
    "wrong rows": (put(record(b"blk.0.ffn_up.weight") + 12, "<Q", 512), Err.SHAPE),
    "another architecture": (BYTES.replace(b"\0qwen3", b"\0llama", 1), Err.ARCH),
    "missing tensor": (BYTES.replace(b"blk.3.attn_v.weight", b"blk.3.attn_x.weight"), Err.MISSING),
    "missing key": (BYTES.replace(b"qwen3.block_count", b"qwen3.block_kount"), Err.MISSING),
    "no layers": (put(at(b"qwen3.block_count", 4), "<I", 0), Err.SHAPE),
    "too many layers": (put(at(b"qwen3.block_count", 4), "<I", 65), Err.LIMIT),
    "a layer too many": (put(at(b"qwen3.block_count", 4), "<I", 7), Err.MISSING),
    "heads": (put(at(b"qwen3.attention.head_count", 4), "<I", 7), Err.SHAPE),
    "no heads": (put(at(b"qwen3.attention.head_count", 4), "<I", 0), Err.SHAPE),
    "kv heads": (put(at(b"qwen3.attention.head_count_kv", 4), "<I", 3), Err.SHAPE),
    "rope base": (put(at(b"qwen3.rope.freq_base", 4), "<f", float("nan")), Err.MALFORMED),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_header(case: str) -> None:
    """Each field that lies is refused for what it is."""
    data, code = HOSTILE[case]
    with pytest.raises(CoreError) as refusal:
        _engine.Model(data)
    assert refusal.value.code == code, refusal.value


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (HOSTILE["tensor type"][0], IncompatibleError, "NVFP4"),
        (HOSTILE["missing tensor"][0], IncompatibleError, "blk.3.attn_v.weight"),
        (HOSTILE["version"][0], IncompatibleError, "version 3"),
        (BYTES[:-1], BankaiError, "truncated"),
        (b"hello", IncompatibleError, "not a GGUF"),
        (b"", IncompatibleError, "empty"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_sentence(data: bytes, kind: type[BankaiError], words: str, tmp_path: Path) -> None:
    """The error says what was found, in words, and has its exit code."""
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(kind, match=words):
        Model(path)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(BankaiError, match="No such file"):
        Model(tmp_path / "nothing.gguf")


def refused_or_read(data: bytes) -> None:
    """Anything but a crash: a refusal by code, or a model whose every tensor lies inside."""
    try:
        model = _engine.Model(data)
    except CoreError as error:
        assert -60 < error.code < 0
        return
    for _, _, _, offset, size in model.tensors():
        assert offset >= 0 and offset + size <= len(data)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, HEADER + 6000))
def test_truncated_anywhere(length: int) -> None:
    with pytest.raises(CoreError):
        _engine.Model(BYTES[:length])


@settings(max_examples=500, deadline=None)
@given(st.integers(0, HEADER + 6000), st.binary(min_size=1, max_size=9))
def test_overwritten_anywhere(offset: int, noise: bytes) -> None:
    refused_or_read(BYTES[:offset] + noise + BYTES[offset + len(noise) :])


def _identity(data: bytes) -> bytes:
    return _engine.Model(data).id


@pytest.mark.parametrize(
    "change",
    [
        lambda: put(at(b"qwen3.attention.layer_norm_rms_epsilon", 4), "<f", 1e-5),
        lambda: BYTES[:-40] + bytes([BYTES[-40] ^ 1]) + BYTES[-39:],
    ],
    ids=["eps", "weight"],
)
def test_model_id_tells_models_apart(change: Callable[[], bytes]) -> None:
    """A changed hyperparameter, or a weight in a tensor's first 4 KiB, is another model."""
    assert _identity(change()) != _identity(BYTES)


def test_model_id_ignores_a_comment() -> None:
    """The name is not what decides the logits."""
    renamed = BYTES.replace(b"bankai-edge nano", b"BANKAI-EDGE NANO", 1)
    assert renamed != BYTES and _identity(renamed) == _identity(BYTES)
