"""A GGUF's layers in PyTorch, unpacked to ±scale floats: what a backward pass runs through.

Layers stay unpacked while they fit into `keep_bytes`, in float32 if they can, else in bfloat16
where the processor multiplies that; otherwise each is unpacked when it is its turn. A 1.7B shape
thus needs less than 8 GB. Activations are not quantised here: gradients are estimates, and the
engine verifies every one that is acted upon.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bankai_edge._facts import BF16, F16, F32, GROUP_BITS_AT, GROUP_BYTES, Q1_0, TENSORS
from bankai_edge._facts import GROUP as GROUP_SIZE
from bankai_edge.model import Model
from bankai_edge.search.climb.sites import GROUP, ROW, Site, Sites
from bankai_edge.shapes import ModelShape

KEEP_BYTES = 3 << 30
IN_LAYER = (*TENSORS, "attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm")
Weights = dict[str, Tensor]
Linear = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """Texts of similar length, padded behind."""

    index: list[int]  # of the probes that they are
    ids: Tensor  # [n, T]
    rows: Tensor  # [answer tokens] which text
    at: Tensor  # [answer tokens] from which position each is predicted
    answer: Tensor  # [answer tokens]
    rival: Tensor  # [n] first wrong token, or the right one


class TorchModel:
    """The weights of one model under changing flips."""

    def __init__(
        self,
        model: Model,
        device: str = "cpu",
        keep_bytes: int = KEEP_BYTES,
        dtype: torch.dtype | None = None,
    ) -> None:
        """`dtype` of matrices and products: float32 or bfloat16; None chooses."""
        self.shape = model.shape
        self.rms_eps: float = model.core.shape["rms_eps"]
        self.device = torch.device(device)
        self._data = np.frombuffer(model.mapped, np.uint8)
        self._places = {
            n: (kind, dims, at, size) for n, kind, dims, at, size in model.core.tensors()
        }
        s = self.shape
        n = s.layers * s.hidden * (2 * (s.heads + s.kv_heads) * s.head_dim + 3 * s.ffn)
        half = 4 * n > keep_bytes and multiplies_bfloat16(self.device)
        self.dtype = dtype or (torch.bfloat16 if half else torch.float32)
        self.products = self.dtype
        kept = n * self.dtype.itemsize
        self._kept: dict[int, Weights] | None = {} if kept <= keep_bytes else None
        signs = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
        self._signs = torch.from_numpy(signs * 2.0 - 1.0).to(self.device, self.dtype)  # [256, 8]
        self._flipped: dict[int, Sites] = {}
        turns, self._rope_scale = model.core.rope
        self._turns = torch.tensor(turns, dtype=torch.float64)
        self.embedding = self.tensor("token_embd.weight")  # [vocab, hidden]
        tied = "output.weight" not in self._places
        self.head = self.embedding if tied else self.tensor("output.weight")
        self.out_norm = self.tensor("output_norm.weight")

    def tensor(self, name: str) -> Tensor:
        """An unpacked tensor: [n] in float32, or [rows, columns] in `dtype`."""
        kind, dims, at, size = self._places[name]
        raw = self._data[at : at + size]
        value: NDArray[np.float32]
        if kind == Q1_0:
            columns, rows = dims
            blocks = torch.from_numpy(raw.reshape(rows, -1, GROUP_BYTES).copy()).to(self.device)
            words, bits = blocks[..., :GROUP_BITS_AT], blocks[..., GROUP_BITS_AT:]
            scales = words.contiguous().view(torch.float16).to(self.dtype)
            return self._signs[bits.int()].flatten(2).mul_(scales).view(rows, columns)
        if kind == BF16:
            value = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            value = raw.view({F32: np.float32, F16: np.float16}[kind]).astype(np.float32)
        found = torch.from_numpy(value.reshape(tuple(reversed(dims)))).to(self.device)
        return found.to(self.dtype) if len(dims) > 1 else found

    def layer(self, index: int, sites: Sites) -> Weights:
        """The weights of a layer under flips; they are not to be kept across calls."""
        here = frozenset(site for site in sites if site[1] == index)
        if self._kept is not None and index in self._kept:
            weights, change = self._kept[index], here ^ self._flipped[index]
        else:
            weights = {n: self.tensor(f"blk.{index}.{n}.weight") for n in IN_LAYER}
            change = here
            if self._kept is not None:
                self._kept[index] = weights
        for site in change:
            _flip(weights[TENSORS[site[2]]], site)
        self._flipped[index] = here
        return weights

    def embed(self, ids: Tensor) -> Tensor:
        """[n, T] → [n, T, hidden]."""
        return F.embedding(ids, self.embedding).float()

    def run(self, x: Tensor, w: Weights) -> Tensor:
        """One layer: the residual [n, T, hidden] before and after."""
        rope = self._angles(x.shape[1])
        return run_layer(x, w, self.shape, self.rms_eps, rope, self._linear)

    def answers(self, x: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(log-probability, least margin, gap) of each text's answer, [n] each."""
        chosen = x[batch.rows, batch.at]  # [answer tokens, hidden]
        chosen = F.rms_norm(chosen, (self.shape.hidden,), self.out_norm, self.rms_eps)
        logits = self._linear(chosen, self.head).double()
        right = logits.gather(1, batch.answer[:, None])[:, 0]
        margin = right - logits.scatter(1, batch.answer[:, None], -torch.inf).amax(1)
        n = len(batch.index)
        zeros = torch.zeros(n, dtype=torch.float64, device=self.device)
        logprob = zeros.index_add(0, batch.rows, right - logits.logsumexp(1))
        least = torch.full_like(zeros, torch.inf).scatter_reduce(0, batch.rows, margin, "amin")
        first = torch.searchsorted(batch.rows, torch.arange(n, device=self.device))
        gap = right[first] - logits[first, batch.rival]
        return logprob, least, gap

    def _linear(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x.to(self.products), weight.to(self.products)).float()

    def _angles(self, length: int) -> tuple[Tensor, Tensor]:
        turns = torch.arange(length, dtype=torch.float64)[:, None] * self._turns
        angle = 2 * math.pi * torch.frac(turns)
        cos, sin = angle.cos() * self._rope_scale, angle.sin() * self._rope_scale
        return cos.float()[:, None].to(self.device), sin.float()[:, None].to(self.device)


def run_layer(
    x: Tensor, w: Weights, shape: ModelShape, eps: float, rope: tuple[Tensor, Tensor],
    linear: Linear, *, mask: Tensor | None = None, kept: list[Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """One layer of Qwen3 (per-head q/k RMSNorm, NeoX RoPE, GQA, SwiGLU): [n, T, hidden] → same.

    `rope`: cosines and sines [T, 1, head_dim / 2], or the same of each text. `mask` [n, 1, T, T],
    True = may look; causal without. `kept` has the keys and values of the positions before, and is
    given those of these.
    """
    s, (n, length, _) = shape, x.shape
    h = F.rms_norm(x, (s.hidden,), w["attn_norm"], eps)
    q = linear(h, w["attn_q"]).view(n, length, s.heads, s.head_dim)
    k = linear(h, w["attn_k"]).view(n, length, s.kv_heads, s.head_dim)
    v = linear(h, w["attn_v"]).view(n, length, s.kv_heads, s.head_dim)
    q = _rotate(F.rms_norm(q, (s.head_dim,), w["attn_q_norm"], eps), *rope)
    k = _rotate(F.rms_norm(k, (s.head_dim,), w["attn_k_norm"], eps), *rope)
    if kept is not None:
        if kept:
            k, v = torch.cat((kept[0], k), 1), torch.cat((kept[1], v), 1)
        kept[:] = k, v
    group = s.heads // s.kv_heads
    mixed = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2).repeat_interleave(group, 1),
        v.transpose(1, 2).repeat_interleave(group, 1),
        attn_mask=mask,
        is_causal=mask is None and length > 1,
    )
    x = x + linear(mixed.transpose(1, 2).flatten(2), w["attn_output"])
    h = F.rms_norm(x, (s.hidden,), w["ffn_norm"], eps)
    h = F.silu(linear(h, w["ffn_gate"])) * linear(h, w["ffn_up"])
    return x + linear(h, w["ffn_down"])


def multiplies_bfloat16(device: torch.device) -> bool:
    """Is that faster than float32 there? Elsewhere PyTorch emulates it, slowly."""
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # no public name for it yet
    return device.type != "cpu" or bool(known and known())


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)  # [n, T, heads, head_dim / 2] each
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


@torch.no_grad()
def _flip(weight: Tensor, site: Site) -> None:
    kind, _, _, row, column = site
    if kind == ROW:
        weight[row] *= -1
    elif kind == GROUP:
        weight[row, column * GROUP_SIZE : (column + 1) * GROUP_SIZE] *= -1
    else:
        weight[row, column] *= -1
