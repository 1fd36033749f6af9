"""A model's 1-bit matrices as their blocks lie in the file: where flips go, and by what scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bankai_edge._facts import GROUP_BYTES, Q1_0, TENSORS
from bankai_edge.model import Model

Place = tuple[int, int]
"""(layer, projection)."""
Blocks = NDArray[np.uint8]
"""[rows, columns / 128, 18]: an fp16 scale, then the signs of 128 weights."""


def matrices(model: Model) -> dict[Place, Blocks]:
    """The blocks of every matrix that patches reach; a matrix of floats has no bits to flip."""
    data = np.frombuffer(model.mapped, np.uint8)
    places = {name: (kind, dims, at, n) for name, kind, dims, at, n in model.core.tensors()}
    found = {}
    for layer in range(model.shape.layers):
        for projection, name in enumerate(TENSORS):
            kind, dims, at, n = places[f"blk.{layer}.{name}.weight"]
            if kind == Q1_0:
                found[layer, projection] = data[at : at + n].reshape(dims[1], -1, GROUP_BYTES)
    return found


def row_scales(blocks: Blocks) -> NDArray[np.float64]:
    """Mean |scale| of every row [rows]: what the published search draws by."""
    scales = np.ascontiguousarray(blocks[..., :2]).view("<f2")[..., 0]
    mean: NDArray[np.float64] = np.abs(scales.astype(np.float64)).mean(axis=1)
    return mean
