"""The nano model in PyTorch: the judge of training, of evaluation and of gradient search.

One class serves two uses. In training (`binarize=True`) the parameters are latent floats and each
forward pass uses copysign(fp16(mean|w| of 128), w), with the gradient passed straight through.
Loaded from a GGUF (`load_gguf`, `binarize=False`) the parameters *are* the ±scale weights:
`backward()` leaves ∂loss/∂w in `model.tensors["blk.0.ffn_gate.weight"].grad`, and flipping a bit is
`w[r, c] = -w[r, c]`.
"""

# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from nano_gguf import read_gguf, write_gguf
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn

from bankai_edge._facts import GROUP

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
EOS = 0
# Qwen2's pre-tokenizer: single digits; one punctuation mark or space may lead a run of letters.
QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Config:
    """Shape of the nano: a KV cache of 48 positions takes 48·6·2·64 values, 36 KB in fp16."""

    vocab: int = 512
    hidden: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    ffn: int = 768
    context: int = 256
    rope_base: float = 1e4
    eps: float = 1e-6

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """llama.cpp's qwen3 tensor names with [out, in] or [n] shapes, in file order."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (self.vocab, self.hidden)}
        for i in range(self.layers):
            layer: dict[str, tuple[int, ...]] = {
                "attn_norm": (self.hidden,),
                "attn_q": (q, self.hidden),
                "attn_k": (kv, self.hidden),
                "attn_v": (kv, self.hidden),
                "attn_q_norm": (self.head_dim,),
                "attn_k_norm": (self.head_dim,),
                "attn_output": (self.hidden, q),
                "ffn_norm": (self.hidden,),
                "ffn_gate": (self.ffn, self.hidden),
                "ffn_up": (self.ffn, self.hidden),
                "ffn_down": (self.hidden, self.ffn),
            }
            shapes.update({f"blk.{i}.{name}.weight": shape for name, shape in layer.items()})
        shapes["output_norm.weight"] = (self.hidden,)
        return shapes


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

    def __init__(self, config: Config | None = None, binarize: bool = True) -> None:
        super().__init__()
        self.config = config or Config()
        self.binarize = binarize
        self.int8 = False  # quantise activations before every matmul, as the engine does
        self.tensors: dict[str, nn.Parameter] = {}
        for name, shape in self.config.shapes().items():
            value = torch.randn(shape) * 0.02 if len(shape) == 2 else torch.ones(shape)
            parameter = nn.Parameter(value)
            self.tensors[name] = parameter
            self.register_parameter(name.replace(".", "_"), parameter)
        half = self.config.head_dim // 2
        inverse = self.config.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(self.config.context, dtype=torch.float64)[:, None] * inverse
        self.register_buffer("cos", angle.cos().float(), persistent=False)  # [context, head_dim/2]
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def effective(self) -> dict[str, Tensor]:
        """The weights a forward pass uses: binarised latents in training, else the leafs."""
        if not self.binarize:
            return dict(self.tensors)
        return {n: binarized(w) if w.ndim == 2 else w for n, w in self.tensors.items()}

    def _linear(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(int8_activations(x) if self.int8 else x, weight)

    def _rope(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)  # [B, T, heads, head_dim/2] each
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: list[tuple[Tensor, Tensor]] | None = None,
        weights: dict[str, Tensor] | None = None,
        last: bool = False,
    ) -> Tensor:
        """[B, T] ids → [B, T, vocab] logits ([B, 1, vocab] if `last`).

        `positions` [B, T] (0.. or after the cache by default); `mask` [B, 1, T, T] bool, True = may
        look (causal by default); `cache` is a list that grows one (k, v) per layer, for generation
        of equally long prompts.
        """
        c, w = self.config, weights if weights is not None else self.effective()
        past = cache[0][0].shape[1] if cache else 0
        batch, length = ids.shape
        if positions is None:
            positions = torch.arange(past, past + length, device=ids.device).expand(batch, -1)
        cos, sin = self.cos[positions].unsqueeze(2), self.sin[positions].unsqueeze(2)
        x = F.embedding(ids, w["token_embd.weight"])
        for i in range(c.layers):
            p = {n: w[f"blk.{i}.{n}.weight"] for n in _LAYER}
            h = F.rms_norm(x, (c.hidden,), p["attn_norm"], c.eps)
            q = self._linear(h, p["attn_q"]).view(batch, length, c.heads, c.head_dim)
            k = self._linear(h, p["attn_k"]).view(batch, length, c.kv_heads, c.head_dim)
            v = self._linear(h, p["attn_v"]).view(batch, length, c.kv_heads, c.head_dim)
            q = self._rope(F.rms_norm(q, (c.head_dim,), p["attn_q_norm"], c.eps), cos, sin)
            k = self._rope(F.rms_norm(k, (c.head_dim,), p["attn_k_norm"], c.eps), cos, sin)
            if cache is not None:
                if past:
                    k, v = torch.cat((cache[i][0], k), 1), torch.cat((cache[i][1], v), 1)
                    cache[i] = (k, v)
                else:
                    cache.append((k, v))
            group = c.heads // c.kv_heads
            attended = F.scaled_dot_product_attention(
                q.transpose(1, 2),
                k.transpose(1, 2).repeat_interleave(group, 1),
                v.transpose(1, 2).repeat_interleave(group, 1),
                attn_mask=mask,
                is_causal=mask is None and length > 1,
            )
            x = x + self._linear(attended.transpose(1, 2).flatten(2), p["attn_output"])
            h = F.rms_norm(x, (c.hidden,), p["ffn_norm"], c.eps)
            h = F.silu(self._linear(h, p["ffn_gate"])) * self._linear(h, p["ffn_up"])
            x = x + self._linear(h, p["ffn_down"])
        x = F.rms_norm(x[:, -1:] if last else x, (c.hidden,), w["output_norm.weight"], c.eps)
        return self._linear(x, w["token_embd.weight"])


_LAYER = (
    "attn_norm", "attn_q", "attn_k", "attn_v", "attn_q_norm", "attn_k_norm", "attn_output",
    "ffn_norm", "ffn_gate", "ffn_up", "ffn_down",
)  # fmt: skip


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


def metadata(config: Config, tokens: list[str], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The GGUF key/values of the nano, as llama.cpp's qwen3 loader wants them."""
    return {
        "general.architecture": "qwen3",
        "general.name": "bankai-edge nano",
        "general.license": "apache-2.0",
        "general.alignment": 32,
        "qwen3.context_length": config.context,
        "qwen3.embedding_length": config.hidden,
        "qwen3.block_count": config.layers,
        "qwen3.feed_forward_length": config.ffn,
        "qwen3.attention.head_count": config.heads,
        "qwen3.attention.head_count_kv": config.kv_heads,
        "qwen3.attention.key_length": config.head_dim,
        "qwen3.attention.value_length": config.head_dim,
        "qwen3.attention.layer_norm_rms_epsilon": config.eps,
        "qwen3.rope.freq_base": config.rope_base,
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
    write_gguf(path, metadata(model.config, tokens, merges), arrays)


def merges_of(meta: dict[str, Any]) -> list[tuple[str, str]]:
    """The BPE merges of GGUF metadata as pairs."""
    pairs = (merge.split(" ") for merge in meta["tokenizer.ggml.merges"])
    return [(a, b) for a, b in pairs]


def load_gguf(path: str | Path) -> tuple[NanoModel, Tokenizer]:
    """A model whose parameters are the file's ±scale weights (float32 leafs), and its tokenizer."""
    meta, tensors = read_gguf(Path(path))
    key = "qwen3.attention."
    config = Config(
        vocab=tensors["token_embd.weight"].shape[0],
        hidden=meta["qwen3.embedding_length"],
        layers=meta["qwen3.block_count"],
        heads=meta[key + "head_count"],
        kv_heads=meta[key + "head_count_kv"],
        head_dim=meta[key + "key_length"],
        ffn=meta["qwen3.feed_forward_length"],
        context=meta["qwen3.context_length"],
        rope_base=meta["qwen3.rope.freq_base"],
        eps=meta[key + "layer_norm_rms_epsilon"],
    )
    model = NanoModel(config, binarize=False)
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
        cache: list[tuple[Tensor, Tensor]] = []
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
