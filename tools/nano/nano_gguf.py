"""The nano's weights in GGUF: floats to Q1_0 and back, around the package's writer and reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bankai_edge._facts import F32, GROUP, GROUP_BITS_AT, GROUP_BYTES, Q1_0
from bankai_edge.model.gguf_metadata import decoded, entries
from bankai_edge.model.gguf_writer import TensorPlan, gguf_file
from bankai_edge.model.weights import open_core


def pack_q1_0(weight: np.ndarray) -> bytes:
    """[rows, cols] float → Q1_0: per 128, fp16(mean|w|) then 128 sign bits, LSB first, 1 = +."""
    groups = np.ascontiguousarray(weight, dtype=np.float32).reshape(-1, GROUP)
    scale = np.abs(groups).mean(axis=1).astype("<f2")  # [groups]
    out = np.empty((groups.shape[0], GROUP_BYTES), dtype=np.uint8)
    out[:, :GROUP_BITS_AT] = scale.view(np.uint8).reshape(-1, GROUP_BITS_AT)
    out[:, GROUP_BITS_AT:] = np.packbits(~np.signbit(groups), axis=1, bitorder="little")
    return out.tobytes()


def unpack_q1_0(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Q1_0 bytes → float32 of ±scale."""
    blocks = np.frombuffer(data, dtype=np.uint8).reshape(-1, GROUP_BYTES)
    scale = blocks[:, :GROUP_BITS_AT].copy().view("<f2").astype(np.float32)  # [groups, 1]
    bits = np.unpackbits(blocks[:, GROUP_BITS_AT:], axis=1, bitorder="little")
    weights: np.ndarray = np.where(bits == 1, scale, -scale).astype(np.float32)
    return weights.reshape(shape)


def write_gguf(path: Path, metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Writes matrices (2-D) as Q1_0 and vectors (1-D) as F32, in the order given."""
    plans = [TensorPlan(n, Q1_0 if a.ndim == 2 else F32, a.shape) for n, a in tensors.items()]
    with gguf_file(path, metadata, plans) as writer:
        for array in tensors.values():
            writer.write(pack_q1_0(array) if array.ndim == 2 else array.astype("<f4").tobytes())


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(metadata, float32 tensors [rows, cols]); Q1_0 comes back as ±scale."""
    data, core = open_core(path)
    tensors = {}
    for name, kind, dims, start, n_bytes in core.tensors():
        raw, shape = data[start : start + n_bytes], dims[::-1]
        if kind not in (Q1_0, F32):
            raise ValueError(f"{path}: tensor {name} has type {kind}; the nano has 0 and 41 only")
        flat = unpack_q1_0(raw, shape) if kind == Q1_0 else np.frombuffer(raw, "<f4").copy()
        tensors[name] = flat.reshape(shape)
    return {key: decoded(kind, raw) for key, kind, raw in entries(data, path)}, tensors
