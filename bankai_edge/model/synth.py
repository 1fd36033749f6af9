"""Random-weight models of any Qwen3 shape, for measuring and judging where no real file is.

The bytes depend on the shape and the seed only. Scales and norms are chosen so that activations
keep their size through all layers, as a trained model's do; the text is noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bankai_edge._facts import BF16, F16, F32, GROUP, Q1_0
from bankai_edge.model import gguf_writer as gguf
from bankai_edge.model.synth_vocab import borrowed_vocabulary, vocabulary
from bankai_edge.shapes import BONSAI, ModelShape

CHUNK = 1 << 16  # blocks or elements generated at once: part of the format of the random stream


SHAPES = {shape.name: shape for shape in BONSAI}


def tensor_plans(
    shape: ModelShape, kind_of: Callable[[str], int | None] = lambda _: None
) -> list[gguf.TensorPlan]:
    """The tensors in file order: matrices Q1_0, vectors F32, unless `kind_of(name)` says else."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    sizes: dict[str, tuple[int, ...]] = {"token_embd": (shape.vocab, shape.hidden)}
    for i in range(shape.layers):
        sizes |= {
            f"blk.{i}.attn_norm": (shape.hidden,),
            f"blk.{i}.attn_q": (q, shape.hidden),
            f"blk.{i}.attn_k": (kv, shape.hidden),
            f"blk.{i}.attn_v": (kv, shape.hidden),
            f"blk.{i}.attn_q_norm": (shape.head_dim,),
            f"blk.{i}.attn_k_norm": (shape.head_dim,),
            f"blk.{i}.attn_output": (shape.hidden, q),
            f"blk.{i}.ffn_norm": (shape.hidden,),
            f"blk.{i}.ffn_gate": (shape.ffn, shape.hidden),
            f"blk.{i}.ffn_up": (shape.ffn, shape.hidden),
            f"blk.{i}.ffn_down": (shape.hidden, shape.ffn),
        }
    sizes["output_norm"] = (shape.hidden,)
    if not shape.tied:
        sizes["output"] = (shape.vocab, shape.hidden)
    plans = []
    for stem, size in sizes.items():
        name = f"{stem}.weight"
        kind = kind_of(name)
        if kind is None:
            kind = Q1_0 if len(size) == 2 else F32
        plans.append(gguf.TensorPlan(name, kind, size))
    return plans


def metadata(shape: ModelShape, seed: int) -> dict[str, Any]:
    """The header's key/values, without the tokenizer's."""
    return {
        "general.architecture": "qwen3",
        "general.name": f"synthetic {shape.name}, seed {seed}",
        "general.quantization_version": 2,
        **architecture(shape),
    }


def architecture(shape: ModelShape) -> dict[str, Any]:
    """The key/values of the qwen3 architecture."""
    found: dict[str, Any] = {
        "qwen3.context_length": shape.context,
        "qwen3.embedding_length": shape.hidden,
        "qwen3.block_count": shape.layers,
        "qwen3.feed_forward_length": shape.ffn,
        "qwen3.attention.head_count": shape.heads,
        "qwen3.attention.head_count_kv": shape.kv_heads,
        "qwen3.attention.key_length": shape.head_dim,
        "qwen3.attention.value_length": shape.head_dim,
        "qwen3.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen3.rope.freq_base": shape.rope_base,
    }
    if shape.yarn:
        factor, original = shape.yarn
        found |= {
            "qwen3.rope.scaling.type": "yarn",
            "qwen3.rope.scaling.factor": float(factor),
            "qwen3.rope.scaling.original_context_length": original,
        }
    return found


def _q1_0(stream: np.random.SFC64, n: int, gain: float) -> NDArray[np.uint16]:
    """[n, 9]: blocks of Q1_0 with scales in gain * [0.75, 1.25)."""
    raw = stream.random_raw(2 * n + (n + 3) // 4).astype("<u8", copy=False)
    blocks = np.empty((n, 9), "<u2")
    blocks[:, 1:] = raw[: 2 * n].view("<u2").reshape(n, 8)
    spread = raw[2 * n :].view("<u2")[:n].astype(np.float32)
    scale = np.float32(gain) * (np.float32(0.75) + spread * np.float32(0.5 / 65536))
    blocks[:, 0] = scale.astype("<f2").view("<u2")
    return blocks


def _dense(stream: np.random.SFC64, n: int, centre: float, width: float, kind: int) -> NDArray[Any]:
    """[n] of F32, F16 or BF16, uniform in centre +- width."""
    raw = (stream.random_raw(n) >> np.uint64(40)).astype(np.float32)
    x: NDArray[Any] = raw * np.float32(2**-23) - np.float32(1)
    x = np.float32(centre) + np.float32(width) * x
    if kind == F16:
        half: NDArray[Any] = x.astype("<f2")
        return half
    if kind == BF16:
        x = x.view(np.uint32) >> np.uint32(16)
        return x.astype("<u2")
    return x.astype("<f4", copy=False)


def tensor_data(plan: gguf.TensorPlan, seed: int, index: int) -> Iterator[NDArray[Any]]:
    """The bytes of the tensor that stands at `index` in the file, in pieces of about a megabyte."""
    stream = np.random.SFC64(np.random.SeedSequence([seed, index]))
    matrix = len(plan.shape) == 2
    gain = 1 / math.sqrt(plan.shape[-1])
    left = plan.n_weights // (GROUP if plan.kind == Q1_0 else 1)
    while left:
        n = min(left, CHUNK)
        if plan.kind == Q1_0:
            yield _q1_0(stream, n, gain)
        else:
            centre, width = (0.0, gain * math.sqrt(3)) if matrix else (1.0, 0.1)
            yield _dense(stream, n, centre, width, plan.kind)
        left -= n


def write_model(
    path: Path,
    shape: ModelShape,
    seed: int = 0,
    *,
    vocab_from: Path | None = None,
    kind_of: Callable[[str], int | None] = lambda _: None,
    extra: Mapping[str, Any] | None = None,
    alignment: int = 32,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write a model and return its size in bytes; memory stays below some tens of megabytes.

    `vocab_from` is a GGUF whose tokenizer is copied, instead of a synthetic vocabulary; a shape
    with `vocab` 0 then takes its size. `kind_of(name)` may choose a tensor's type, `extra` adds
    key/values, `progress` is told bytes done and in all.

    Raises:
        UsageError: no model can have that shape.
        IncompatibleError: `vocab_from` has no tokenizer that fits.
        BankaiError: the disk is full or the place cannot be written; nothing is left there.
    """
    if vocab_from is not None:
        tokenizer, n_tokens = borrowed_vocabulary(vocab_from, shape.vocab)
        shape = replace(shape, vocab=n_tokens)
    else:
        tokenizer = vocabulary(shape.vocab)
    plans = tensor_plans(shape.checked(), kind_of)
    entries = {**metadata(shape, seed), **tokenizer, **(extra or {})}
    total = sum(plan.n_bytes for plan in plans)
    with gguf.gguf_file(path, entries, plans, alignment=alignment) as writer:
        for index, plan in enumerate(plans):
            for piece in tensor_data(plan, seed, index):
                writer.write(piece)
                progress(writer.written, total)
    return writer.written
