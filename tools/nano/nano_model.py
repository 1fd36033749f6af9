"""The nano model in PyTorch: the judge of training, of evaluation and of gradient search.

One class serves two uses. In training (`binarize=True`) the parameters are latent floats and each
forward pass uses copysign(fp16(mean|w| of 128), w), with the gradient passed straight through.
Loaded from a GGUF (`load_gguf`, `binarize=False`) the parameters *are* the ±scale weights:
`backward()` leaves ∂loss/∂w in `model.tensors["blk.0.ffn_gate.weight"].grad`, and flipping a bit is
`w[r, c] = -w[r, c]`.
"""

# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from nano_gguf import read_gguf, write_gguf
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn

from bankai_edge._facts import GROUP
from bankai_edge.model import synth
from bankai_edge.model.weights import open_core, shape_of
from bankai_edge.search.gradient.model import IN_LAYER, run_layer
from bankai_edge.shapes import NANO, ModelShape

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
EOS, EPS = 0, 1e-6
SHAPE = replace(NANO, rope_base=1e4)
# Qwen2's pre-tokenizer: single digits; one punctuation mark or space may lead a run of letters.
QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def binarized(weight: Tensor) -> Tensor:
    """[out, in] → ±fp16(mean|w| of each 128 along in); the gradient is passed straight through."""
    with torch.no_grad():
        groups = weight.view(-1, GROUP)
        scale = groups.abs().mean(1, keepdim=True).half().float()
        hard = torch.copysign(scale, groups).view_as(weight)
    return weight + (hard - weight).detach() if weight.requires_grad else hard


def int8_activations(x: Tensor) -> Tensor:
    """What the engine's matmul sees: symmetric int8, one scale per 128, round half to even."""
    groups = x.unflatten(-1, (-1, GROUP))
    scale = groups.abs().amax(-1, keepdim=True) / 127
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    near: Tensor = ((groups / scale).round().clamp(-127, 127) * scale).flatten(-2)
    return near


class NanoModel(nn.Module):
    """Qwen3: GQA with per-head q/k RMSNorm, NeoX RoPE, SwiGLU, tied embedding."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: ModelShape = SHAPE, binarize: bool = True) -> None:
        super().__init__()
        self.shape = shape
        self.binarize = binarize
        self.int8 = False  # quantise activations before every matmul, as the engine does
        self.tensors: dict[str, nn.Parameter] = {}
        for plan in synth.tensor_plans(shape):
            size = plan.shape
            value = torch.randn(size) * 0.02 if len(size) == 2 else torch.ones(size)
            parameter = nn.Parameter(value)
            self.tensors[plan.name] = parameter
            self.register_parameter(plan.name.replace(".", "_"), parameter)
        half = shape.head_dim // 2
        inverse = shape.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(shape.context, dtype=torch.float64)[:, None] * inverse
        self.register_buffer("cos", angle.cos().float(), persistent=False)  # [context, head_dim/2]
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def effective(self) -> dict[str, Tensor]:
        """The weights a forward pass uses: binarised latents in training, else the leafs."""
        if not self.binarize:
            return dict(self.tensors)
        return {n: binarized(w) if w.ndim == 2 else w for n, w in self.tensors.items()}

    def _linear(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(int8_activations(x) if self.int8 else x, weight)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: list[list[Tensor]] | None = None,
        weights: dict[str, Tensor] | None = None,
        last: bool = False,
    ) -> Tensor:
        """[B, T] ids → [B, T, vocab] logits ([B, 1, vocab] if `last`).

        `positions` [B, T] (0.. or after the cache by default); `mask` [B, 1, T, T] bool, True = may
        look (causal by default); `cache` has a list for each layer, empty at first, for
        generation of equally long prompts.
        """
        w = weights if weights is not None else self.effective()
        past = cache[0][0].shape[1] if cache and cache[0] else 0
        batch, length = ids.shape
        if positions is None:
            positions = torch.arange(past, past + length, device=ids.device).expand(batch, -1)
        rope = self.cos[positions].unsqueeze(2), self.sin[positions].unsqueeze(2)
        x = F.embedding(ids, w["token_embd.weight"])
        for i in range(self.shape.layers):
            layer = {n: w[f"blk.{i}.{n}.weight"] for n in IN_LAYER}
            kept = cache[i] if cache is not None else None
            x = run_layer(x, layer, self.shape, EPS, rope, self._linear, mask=mask, kept=kept)
        x = x[:, -1:] if last else x
        x = F.rms_norm(x, (self.shape.hidden,), w["output_norm.weight"], EPS)
        return self._linear(x, w["token_embd.weight"])


def make_tokenizer(tokens: list[str], merges: list[tuple[str, str]]) -> Tokenizer:
    """Byte-level BPE with Qwen2's pre-tokenizer from GGUF's token and merge lists."""
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_REGEX), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def metadata(shape: ModelShape, tokens: list[str], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The GGUF key/values of the nano, as llama.cpp's qwen3 loader wants them."""
    return {
        "general.architecture": "qwen3",
        "general.name": "bankai-edge nano",
        "general.license": "apache-2.0",
        "general.alignment": 32,
        **synth.architecture(shape),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if t in SPECIALS else 1 for t in tokens],
        "tokenizer.ggml.merges": [f"{a} {b}" for a, b in merges],
        "tokenizer.ggml.eos_token_id": EOS,
        "tokenizer.ggml.padding_token_id": EOS,
        "tokenizer.ggml.add_bos_token": False,
    }


def save_gguf(
    path: Path, model: NanoModel, tokens: list[str], merges: list[tuple[str, str]]
) -> None:
    """Packs the model; latents and ±scale leafs of equal signs and scales give the same bytes."""
    arrays = {n: p.detach().cpu().numpy() for n, p in model.tensors.items()}
    write_gguf(path, metadata(model.shape, tokens, merges), arrays)


def merges_of(meta: dict[str, Any]) -> list[tuple[str, str]]:
    """The BPE merges of GGUF metadata as pairs."""
    pairs = (merge.split(" ") for merge in meta["tokenizer.ggml.merges"])
    return [(a, b) for a, b in pairs]


def load_gguf(path: str | Path) -> tuple[NanoModel, Tokenizer]:
    """A model whose parameters are the file's ±scale weights (float32 leafs), and its tokenizer."""
    meta, tensors = read_gguf(Path(path))
    _, core = open_core(Path(path))
    shape = replace(shape_of(core), rope_base=meta["qwen3.rope.freq_base"])
    model = NanoModel(shape, binarize=False)
    with torch.no_grad():
        for name, parameter in model.tensors.items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(tensors[name])))
    return model.eval(), make_tokenizer(meta["tokenizer.ggml.tokens"], merges_of(meta))


@torch.no_grad()
def greedy(
    model: NanoModel, tokenizer: Tokenizer, prompts: list[str], limit: int = 24, batch: int = 128
) -> list[str]:
    """Greedy continuation of each prompt up to EOS or `limit` tokens.

    Batches hold prompts of one length, so that no padding can change a result.
    """
    weights = model.effective()
    encoded = [e.ids for e in tokenizer.encode_batch(prompts)]
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    out = [""] * len(prompts)
    start = 0
    while start < len(order):
        size = len(encoded[order[start]])
        chunk = [i for i in order[start : start + batch] if len(encoded[i]) == size]
        start += len(chunk)
        ids = torch.tensor([encoded[i] for i in chunk])
        cache: list[list[Tensor]] = [[] for _ in range(model.shape.layers)]
        produced: list[Tensor] = []
        done = torch.zeros(len(chunk), dtype=torch.bool)
        for _ in range(limit):
            nxt = model(ids, cache=cache, weights=weights, last=True)[:, -1].argmax(-1)
            produced.append(nxt)
            done |= nxt == EOS
            if bool(done.all()):
                break
            ids = nxt[:, None]
        for row, i in zip(torch.stack(produced, 1).tolist(), chunk, strict=True):
            out[i] = tokenizer.decode(row[: row.index(EOS)] if EOS in row else row)
    return out
