"""Every GGUF that this architecture can come in: the NumPy judge's bits, or a sentence."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import core_build as core
import numpy as np
import pytest
from reference import Exact, Gguf, Rope

from bankai_edge import _engine
from bankai_edge._facts import BF16, F16, F32, Q1_0
from bankai_edge.errors import IncompatibleError
from bankai_edge.model import Model, Session
from bankai_edge.model.gguf_writer import Raw
from bankai_edge.model.synth import write_model
from bankai_edge.shapes import ModelShape
from support.compilers import STRICT, build, compiler

TINY = ModelShape("tiny", 2, 128, 256, 2, 1, 64, 333, 256)
TOKENS = [0, 7, 332, 45, 45, 120, 255, 301]


def kinds(**of: int) -> Callable[[str], int | None]:
    """A choice of tensor types: by the word between "blk.<n>." and ".weight", or the whole stem."""
    return lambda name: of.get(name.removesuffix(".weight").split(".")[-1])


def judged(path: Path, tokens: list[int] = TOKENS) -> None:
    """Core and NumPy judge agree on every logit's bits."""
    got = Session(Model(path), ctx=32).logits(tokens)
    judge = Exact(path)
    want = np.array([judge.token(t) for t in tokens])
    assert np.array_equal(got.view(np.uint32), want.view(np.uint32))
    assert np.isfinite(got).all() and got.std() > 0.1


SHAPES = {
    "tied": TINY,
    "untied": replace(TINY, tied=False),
    "one row more than a multiple": replace(TINY, vocab=385),
    "prime rows": replace(TINY, vocab=509, tied=False),
    "heads wider than hidden": replace(TINY, heads=4, kv_heads=2, head_dim=128),
    "heads narrower than hidden": replace(TINY, hidden=384, heads=4, kv_heads=4, head_dim=32),
    "one kv head for all": replace(TINY, heads=8, kv_heads=1, head_dim=16),
    "head of 96": replace(TINY, hidden=384, heads=4, kv_heads=2, head_dim=96),
    "yarn": replace(TINY, yarn=(4.0, 64), tied=False),
    "rope base of 1e4": replace(TINY, rope_base=1e4),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(case: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_model(path, SHAPES[case], 1)
    judged(path, [t % 300 for t in TOKENS])


TYPES: dict[str, dict[str, int]] = {
    "f16 projections": {"attn_v": F16, "ffn_down": F16},
    "bf16 projections": {"attn_k": BF16, "attn_output": BF16, "ffn_gate": BF16},
    "f32 projections": {"attn_q": F32, "ffn_up": F32},
    "one of a fused pair": {"ffn_gate": F16, "attn_q": BF16},
    "f16 embedding and head": {"token_embd": F16},
    "bf16 head beside a packed embedding": {"output": BF16},
    "packed head beside an f32 embedding": {"token_embd": F32},
    "f16 norms": {"attn_norm": F16, "output_norm": F16, "attn_q_norm": BF16, "ffn_norm": BF16},
    "nothing packed": dict.fromkeys(
        (
            "attn_q",
            "attn_k",
            "attn_v",
            "attn_output",
            "ffn_gate",
            "ffn_up",
            "ffn_down",
            "token_embd",
            "output",
        ),
        F16,
    ),
}


@pytest.mark.parametrize("case", TYPES)
def test_unpacked_types_beside_packed(case: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_model(path, replace(TINY, tied="head" not in case), 2, kind_of=kinds(**TYPES[case]))
    found = {kind for _, kind, *_ in Model(path).core.tensors()}
    assert set(TYPES[case].values()) <= found
    judged(path)


@pytest.mark.parametrize("kernel", [k[0] for k in _engine.kernels() if k[2]])
def test_every_kernel_on_odd_rows_and_mixed_types(kernel: str, tmp_path: Path) -> None:
    """Rows that are a multiple of nothing, types that differ inside a fused product, threads."""
    path = tmp_path / "m.gguf"
    shape = replace(TINY, vocab=509, tied=False, heads=6, kv_heads=3, hidden=384)
    write_model(path, shape, 3, kind_of=kinds(attn_k=F16, ffn_up=BF16))
    want = np.array(list(map(Exact(path).token, TOKENS)))
    data = path.read_bytes()
    for threads in (1, 2):
        model, pool = _engine.Model(data), _engine.Pool(threads)
        model.pack(kernel, pool)
        rows = np.empty((len(TOKENS), 509), np.float32)
        state = _engine.State(model, 16, 5, pool)
        state.forward_all(np.array(TOKENS, np.int32), rows.reshape(-1))
        assert np.array_equal(rows.view(np.uint32), want.view(np.uint32)), (kernel, threads)


@pytest.mark.parametrize("alignment", [8, 64, 128, 4096])
def test_alignment(alignment: int, tmp_path: Path) -> None:
    path, usual = tmp_path / "m.gguf", tmp_path / "usual.gguf"
    write_model(path, TINY, 1, alignment=alignment)
    write_model(usual, TINY, 1)
    assert Gguf(path).kv["general.alignment"] == alignment
    assert all(t[3] % alignment == 0 for t in Model(path).core.tensors())
    judged(path)
    assert Model(path).id == Model(usual).id  # where the tensors lie does not make another model


def test_unknown_metadata_is_ignored(tmp_path: Path) -> None:
    """Values of every type that GGUF has, under keys that nobody knows; the model is the same."""
    path, usual = tmp_path / "m.gguf", tmp_path / "usual.gguf"
    string = struct.pack("<Q", 5) + b"hello"
    extra: dict[str, Any] = {f"x.scalar.{kind}": Raw(kind, bytes([1] * width)) for kind, width in
                             {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8,
                              12: 8}.items()}  # fmt: skip
    extra |= {
        "x.string": Raw(8, string),
        "x.empty": Raw(8, bytes(8)),
        "x.strings": Raw(9, struct.pack("<IQ", 8, 3) + 3 * string),
        "x.doubles": Raw(9, struct.pack("<IQ2d", 12, 2, 1.0, 2.0)),
        "x.nothing": Raw(9, struct.pack("<IQ", 4, 0)),
        "general.file_type": 1,  # wrong on purpose: types are told by tensors, not by this
        "general.quantized_by": "someone",
        "qwen3.some_new_key": 3.5,
        "z" * 200: True,
    }
    write_model(path, TINY, 1, extra=extra)
    write_model(usual, TINY, 1)
    judged(path)
    assert Model(path).id == Model(usual).id


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (40, "NVFP4"),
        (42, "Q2_0"),
        (142, "PQ2_0 of PrismML's fork"),
        (143, "PTQ1_0 of PrismML's fork"),
        (2, "type 2"),
        (39, "type 39"),
    ],
)
def test_foreign_types_are_refused_by_name(kind: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_model(path, TINY, 1)
    data = bytearray(path.read_bytes())
    name = b"blk.1.ffn_up.weight"
    at = data.index(name) + len(name) + 4 + 2 * 8
    assert struct.unpack_from("<I", data, at) == (Q1_0,)
    struct.pack_into("<I", data, at, kind)
    path.write_bytes(data)
    with pytest.raises(IncompatibleError, match=words) as refusal:
        Model(path)
    assert "expected Q1_0 (41), F32 (0), F16 (1) or BF16 (30)" in str(refusal.value)


# ---- rotary positions ------------------------------------------------------------------------


def published_yarn(
    head_dim: int, base: float, factor: float, original: int
) -> tuple[np.ndarray, float]:
    """Frequencies [head_dim / 2] and magnitude factor as the YaRN paper has them, in float64."""
    i = np.arange(head_dim // 2)
    freq = base ** (-2.0 * i / head_dim)

    def dim_of(turns: float) -> float:
        return head_dim * np.log(original / (turns * 2 * np.pi)) / (2 * np.log(base))

    low = max(np.floor(dim_of(32.0)), 0)
    high = min(np.ceil(dim_of(1.0)), head_dim - 1)
    ramp = np.clip((i - low) / max(high - low, 0.001), 0, 1)
    return freq / factor * ramp + freq * (1 - ramp), 0.1 * np.log(factor) + 1


@pytest.fixture(scope="module")
def core_rope(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The core's own functions, for positions that no test could reach token by token."""
    library = tmp_path_factory.mktemp("rope") / "rope.so"
    sources = [core.find(f"bk_{n}.c") for n in ("rope", "math", "gguf", "q1")]
    build([compiler("gcc", "apt-get install gcc"), *STRICT, "-fno-freestanding", "-O2", "-shared",
           "-fPIC", *map(str, sources), "-o", str(library)])  # fmt: skip
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize(
    ("head_dim", "base", "factor", "original"),
    [(128, 1e6, 4.0, 8192), (128, 1e6, 4.0, 16384), (64, 1e4, 2.0, 4096), (128, 1e6, 8.0, 4096)],
)
def test_yarn_at_every_position(
    core_rope: ctypes.CDLL, head_dim: int, base: float, factor: float, original: int
) -> None:
    """The ramp and the magnitude factor apply from position 0 to the last, near float64."""
    rope = Rope(
        {
            "qwen3.rope.freq_base": base,
            "qwen3.rope.scaling.type": "yarn",
            "qwen3.rope.scaling.factor": factor,
            "qwen3.rope.scaling.original_context_length": original,
            "qwen3.context_length": int(factor * original),
        },
        head_dim,
    )
    frequency, magnitude = published_yarn(head_dim, base, factor, original)
    assert float(rope.scale) == pytest.approx(magnitude, rel=1e-6)
    turns = (ctypes.c_uint64 * (head_dim // 2))(*rope.turns)
    angles = (ctypes.c_float * head_dim)()
    step = core_rope.bk_rope_angles
    step.argtypes = [ctypes.c_void_p, ctypes.c_float, ctypes.c_uint32, ctypes.c_uint32,
                     ctypes.c_void_p]  # fmt: skip
    step.restype = None
    worst = 0.0
    for position in [0, 1, 2, 63, 1000, original - 1, original, 20_000, 32_767, 32_768]:
        step(turns, rope.scale, head_dim, position, angles)
        got = np.array(angles).reshape(2, -1)
        theta = frequency * position
        want = magnitude * np.array([np.cos(theta), np.sin(theta)])
        worst = max(worst, np.abs(got - want).max())
        assert np.array_equal(got, np.array(rope.angles(position))), position
    assert worst < 2e-4, worst


def test_yarn_of_the_published_shapes_is_read(tmp_path: Path) -> None:
    """A model's turns are the judge's: through the header, the core and a forward pass."""
    path = tmp_path / "m.gguf"
    shape = replace(TINY, head_dim=128, heads=2, kv_heads=1, yarn=(4.0, 8192), context=32_768)
    write_model(path, shape, 1)
    assert Model(path).core.rope[1] == pytest.approx(1 + 0.1 * np.log(4), rel=1e-6)
    judged(path)
