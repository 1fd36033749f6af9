"""A writable copy of a model, random patches for it, and hashes of its logits."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bankai_edge import _engine, _patch
from bankai_edge._facts import TENSORS
from bankai_edge.patch import Patch, encode
from bankai_edge.patch.bind import bind

TOKENS = np.array([1, 5, 42, 7, 99], np.int32)


@dataclass
class Weights:
    """A writable copy of a model in memory."""

    buffer: bytearray

    @cached_property
    def core(self) -> _engine.Model:
        return _engine.Model(self.buffer, True)

    @property
    def id(self) -> bytes:
        return self.core.id

    @cached_property
    def matrices(self) -> dict[tuple[int, int], tuple[int, int, int]]:
        """(layer, projection) -> (rows, columns, offset in the buffer)."""
        found = {}
        for name, _, dims, offset, _ in self.core.tensors():
            for projection, tensor in enumerate(TENSORS):
                if name.startswith("blk.") and name.endswith(f".{tensor}.weight"):
                    found[int(name.split(".")[1]), projection] = (dims[1], dims[0], offset)
        return found

    def logits(self, overlay: _patch.Overlay | None = None) -> bytes:
        state = _engine.State(self.core, 16)
        state.set_overlay(overlay)
        out = np.empty((len(TOKENS), self.core.shape["vocab"]), np.float32)
        state.forward_all(TOKENS, out.reshape(-1))
        assert np.isfinite(out).all()
        return out.tobytes()

    def overlay_logits(self, *patches: Patch) -> bytes:
        return self.logits(_patch.Overlay(self.core, [encode(patch) for patch in patches]))

    def flip(self, *patches: Patch) -> None:
        for patch in patches:
            _patch.xor_in_place(self.core, encode(patch))

    def random_patch(self, seed: int, rows: int = 0, groups: int = 0, bits: int = 0) -> Patch:
        rng = random.Random(seed)
        places = sorted(self.matrices)

        def flips(n: int, divisor: int) -> tuple[tuple[int, ...], ...]:
            chosen: set[tuple[int, ...]] = set()
            while len(chosen) < n:
                place = rng.choice(places)
                n_rows, n_cols, _ = self.matrices[place]
                column = (rng.randrange(n_cols // divisor),) if divisor else ()
                chosen.add((*place, rng.randrange(n_rows), *column))
            return tuple(sorted(chosen))

        unbound = Patch(
            f"random{seed}", rows=flips(rows, 0), groups=flips(groups, 128), bits=flips(bits, 1)
        )
        return bind(unbound, self)


def host_hash(
    weights: Weights, overlay: _patch.Overlay | None, tokens: Sequence[int] = range(40, 61)
) -> str:
    """Of the logits of these tokens, as this machine computes them."""
    state = _engine.State(weights.core, len(tokens))
    state.set_overlay(overlay)
    logits = np.empty(len(tokens) * weights.core.shape["vocab"], np.float32)
    state.forward_all(np.array(tokens, np.int32), logits)
    return hashlib.sha256(logits.astype("<f4").tobytes()).hexdigest()
