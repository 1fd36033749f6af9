"""The forward pass a second time, in NumPy, to judge the core.

`Exact` follows the bit-exact contract (int8 activations per 128, 16-lane sums, the core's own exp
and rsqrt, fixed-point rotary angles): its logits equal the core's to the last bit. `Float64` is
the architecture as published, without quantised activations, for bounding the error.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np

F32 = np.float32
Matrix = tuple[np.ndarray, np.ndarray] | np.ndarray
KV_FORMATS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
PROJECTIONS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


class Gguf:
    """Key/values and raw tensors of a small GGUF v3 file."""

    def __init__(self, path: Path) -> None:
        self.bytes = path.read_bytes()
        self.at = 8
        assert self.bytes[:8] == b"GGUF\x03\0\0\0"
        n_tensors, n_kv = self._unpack("QQ")
        self.kv: dict[str, Any] = {}
        for _ in range(n_kv):
            key = self._string()
            self.kv[key] = self._value(self._unpack("I")[0])
        records = []
        for _ in range(n_tensors):
            name = self._string()
            dims = self._unpack(f"{self._unpack('I')[0]}Q")
            records.append((name, dims, *self._unpack("IQ")))
        alignment = self.kv.get("general.alignment", 32)
        data = -(-self.at // alignment) * alignment
        self.tensors = {}
        for name, dims, kind, offset in records:
            size = {0: 4, 1: 2, 30: 2, 41: 18 / 128}[kind] * int(np.prod(dims))
            start = data + offset
            self.tensors[name] = (kind, dims[::-1], self.bytes[start : start + int(size)])

    def _unpack(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + form, self.bytes, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def _string(self) -> str:
        (n,) = self._unpack("Q")
        self.at += n
        return self.bytes[self.at - n : self.at].decode()

    def _value(self, kind: int) -> Any:
        if kind == 8:
            return self._string()
        if kind == 9:
            element, n = self._unpack("IQ")
            return [self._value(element) for _ in range(n)]
        return self._unpack(KV_FORMATS[kind])[0]

    def q1(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Signs int8 [rows, blocks, 128] of +-1, and scales float32 [rows, blocks]."""
        kind, (rows, cols), raw = self.tensors[name]
        assert kind == 41
        blocks = np.frombuffer(raw, np.uint8).reshape(rows, cols // 128, 18)
        scales = blocks[..., :2].copy().view(np.float16)[..., 0].astype(F32)
        bits = np.unpackbits(blocks[..., 2:], axis=-1, bitorder="little").astype(np.int8)
        return bits * 2 - 1, scales

    def f32(self, name: str) -> np.ndarray:
        """An unpacked tensor: a norm's weights [n], or a matrix [rows, cols]."""
        kind, shape, raw = self.tensors[name]
        if kind == 30:
            return (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(F32).reshape(shape)
        return np.frombuffer(raw, {0: F32, 1: np.float16}[kind]).astype(F32).reshape(shape)

    def matrix(self, name: str) -> Matrix:
        """What `gemv` takes: signs and scales, or a float32 matrix."""
        return self.q1(name) if self.tensors[name][0] == 41 else self.f32(name)


# ---- the contract's arithmetic ---------------------------------------------------------------


def sum_lanes(lanes: np.ndarray) -> np.ndarray:
    """[..., 16] -> [...], added as 8+8, 4+4, 2+2, 1+1."""
    for half in (8, 4, 2, 1):
        lanes = lanes[..., :half] + lanes[..., half : 2 * half]
    return lanes[..., 0]


def lane_sum(terms: np.ndarray) -> np.ndarray:
    """Sum of float32 [..., n] over 16 partial sums."""
    n = terms.shape[-1]
    padded = np.zeros((*terms.shape[:-1], -(-n // 16) * 16), F32)
    padded[..., :n] = terms
    lanes = np.zeros((*terms.shape[:-1], 16), F32)
    for i in range(0, padded.shape[-1], 16):
        lanes = lanes + padded[..., i : i + 16]
    return sum_lanes(lanes)


def exp(x: np.ndarray) -> np.ndarray:
    """Cephes' expf with separate multiplications and additions."""
    x = np.asarray(x, F32)
    c = np.clip(x, F32(-87.3), F32(88))
    n = (c * F32(1.44269504088896341) + F32(12582912)) - F32(12582912)
    r = c - n * F32(0.693359375)
    r = r - n * F32(-2.12194440e-4)
    p = F32(1.9875691500e-4)
    for k in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + F32(k)
    p = p * (r * r) + r
    p = p + F32(1)
    power = ((n.astype(np.int32) + 127) << 23).view(F32)
    return np.where(x >= F32(-87.3), p * power, F32(0))


def rsqrt(x: np.ndarray) -> np.ndarray:
    """Four Newton steps from the well-known guess."""
    x = np.asarray(x, F32)
    half = F32(0.5) * x
    y = (np.uint32(0x5F375A86) - (x.view(np.uint32) >> np.uint32(1))).view(F32)
    for _ in range(4):
        y = y * (F32(1.5) - (half * y) * y)
    return y


def quantise(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [cols] -> int32 [blocks, 128], float32 scales [blocks]."""
    blocks = x.reshape(-1, 128)
    amax = np.abs(blocks).max(axis=1)
    usable = (amax > F32(1e-30)) & (amax < F32(3e38))
    safe = np.where(usable, amax, F32(1))
    inverse = np.where(usable, F32(127) / safe, F32(0))
    q = np.rint(blocks * inverse[:, None]).astype(np.int32)
    return q, np.where(usable, amax / F32(127), F32(0))


def gemv(w: Matrix, x: np.ndarray) -> np.ndarray:
    """y [rows]: blocks summed in sequence; an unpacked matrix over 16 lanes, x as it is."""
    if isinstance(w, np.ndarray):
        return lane_sum(w * x)
    signs, d = w
    q, s = quantise(x)
    dots = np.einsum("rbj,bj->rb", signs.astype(np.int32), q).astype(F32)
    y = np.zeros(signs.shape[0], F32)
    for b in range(signs.shape[1]):
        y = y + dots[:, b] * (d[:, b] * s[b])
    return y


def full(w: Matrix) -> np.ndarray:
    """A matrix in float64 [rows, cols]."""
    if isinstance(w, np.ndarray):
        return w.astype(float)
    signs, d = w
    return (signs * d[..., None]).reshape(len(signs), -1).astype(float)


def log2_q32(x: float) -> int:
    """log2 x 2^32, by repeated squaring."""
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    log, m = ((bits >> 23 & 0xFF) - 127) << 32, ((bits & 0x7FFFFF) | 0x800000) << 40
    for k in range(31, -1, -1):
        m = m * m >> 64
        if m >> 63:
            log += 1 << k
        else:
            m = m << 1 & (1 << 64) - 1
    return log


def exp2_neg_q64(x: int) -> int:
    """2^-x x 2^64; x has 32 bits after the point."""
    from decimal import Decimal, getcontext

    getcontext().prec = 60
    power = (1 << 64) - 1
    for k in range(32):
        if x >> (31 - k) & 1:
            root = int(Decimal(2) ** -(Decimal(2) ** -(k + 1)) * 2**64)
            power = power * root >> 64
    return power >> (x >> 32)


def cos_sin(turns: int) -> tuple[np.float32, np.float32]:
    """Of an angle in turns x 2^64."""
    quarter = (turns + (1 << 61) >> 62) & 3
    rest = (turns - (quarter << 62)) & ((1 << 64) - 1)
    high = (rest >> 30) & 0xFFFFFFFF
    high -= (high >> 31) << 32
    x = F32(high) * F32(3.6572951981e-10)
    z = x * x
    s = F32(-1.9515295891e-4) * z + F32(8.3321608736e-3)
    s = s * z - F32(1.6666654611e-1)
    s = (s * z) * x + x
    c = F32(2.443315711809948e-5) * z - F32(1.388731625493765e-3)
    c = c * z + F32(4.166664568298827e-2)
    c = (c * z) * z - F32(0.5) * z
    c = c + F32(1)
    return ((c, s), (-s, c), (-c, -s), (s, -c))[quarter]


class Rope:
    """Turns per position (x 2^64) of each pair, and the magnitude factor."""

    def __init__(self, kv: dict[str, Any], head_dim: int) -> None:
        def get(key: str, default: Any) -> Any:
            return kv.get(f"qwen3.rope.{key}", default)

        base, kind = get("freq_base", 10000.0), get("scaling.type", "none")
        factor = F32(get("scaling.factor", 1.0)) if kind != "none" else F32(1)
        original = get("scaling.original_context_length", kv["qwen3.context_length"])
        log_base, two_pi = log2_q32(base), 0x2A6C87349

        def corrected(beta: float, up: bool) -> int:
            log = log2_q32(float(original)) - log2_q32(beta) - two_pi
            q, rest = divmod(max(log, 0) * head_dim, 2 * log_base)
            return min(q + (up and rest > 0), head_dim - 1)

        low, high = corrected(32.0, False), corrected(1.0, True)
        self.turns: list[int] = []
        for i in range(head_dim // 2):
            turns = exp2_neg_q64(2 * i * log_base // head_dim + two_pi)
            if factor > 1:
                mix = F32(0)
                if kind == "yarn":
                    width = F32(high - low) if high > low else F32(0.001)
                    mix = F32(1) - np.clip(F32(i - low) / width, F32(0), F32(1))
                share = (F32(1) / factor) * (F32(1) - mix) + mix
                turns = (turns * (int(share * F32(2147483648.0)) << 32) >> 64) << 1
            self.turns.append(turns)
        log_factor = F32(0.693147181) * (F32(log2_q32(float(factor)) >> 16) * F32(1 / 65536))
        attn = F32(get("scaling.attn_factor", 1.0))
        self.scale = attn * (F32(1) + F32(0.1) * log_factor) if kind == "yarn" else F32(1)

    def angles(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines [dim / 2]."""
        pairs = [cos_sin(t * position & (1 << 64) - 1) for t in self.turns]
        c, s = (np.array(v, F32) * self.scale for v in zip(*pairs, strict=True))
        return c, s


class Exact:
    """The core's forward pass, bit for bit; one token at a time."""

    def __init__(self, path: Path) -> None:
        g = self.g = Gguf(path)
        kv = g.kv
        self.layers = kv["qwen3.block_count"]
        self.heads = kv["qwen3.attention.head_count"]
        self.kv_heads = kv["qwen3.attention.head_count_kv"]
        self.dim = kv["qwen3.attention.key_length"]
        self.eps = F32(kv["qwen3.attention.layer_norm_rms_epsilon"])
        self.rope = Rope(kv, self.dim)
        self.mats = {n: g.matrix(n) for n, t in g.tensors.items() if len(t[1]) == 2}
        self.vecs = {n: g.f32(n) for n, t in g.tensors.items() if len(t[1]) == 1}
        self.head = self.mats.get("output.weight", self.mats["token_embd.weight"])
        self.k: list[list[np.ndarray]] = [[] for _ in range(self.layers)]
        self.v: list[list[np.ndarray]] = [[] for _ in range(self.layers)]

    def flip(self, layer: int, projection: int, row: int, cols: slice = slice(None)) -> None:
        """Negate weights of one row: all of it, or a range of columns."""
        signs, _ = self.mats[f"blk.{layer}.{PROJECTIONS[projection]}.weight"]
        signs[row].reshape(-1)[cols] *= -1

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        """RMSNorm with the weights `name`."""
        inverse = rsqrt(lane_sum(x * x) / F32(x.shape[-1]) + self.eps)
        return (x * np.expand_dims(inverse, -1)) * self.vecs[name]

    def rotate(self, x: np.ndarray, angles: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """NeoX RoPE."""
        c, s = angles
        x0, x1 = np.split(x, 2, axis=-1)
        return np.concatenate([x0 * c - x1 * s, x0 * s + x1 * c], axis=-1)

    def attend(self, layer: int, q: np.ndarray) -> np.ndarray:
        """q [heads, dim] -> [heads * dim]"""
        keys, values = (np.array(c[layer]).astype(F32) for c in (self.k, self.v))  # [t, kv, dim]
        out = []
        for h in range(self.heads):
            g = h // (self.heads // self.kv_heads)
            scores = lane_sum(q[h] * keys[:, g]) * rsqrt(F32(self.dim))
            p = exp(scores - scores.max())
            acc = np.zeros(self.dim, F32)
            for t in range(len(p)):
                acc = acc + p[t] * values[t, g]
            out.append(acc * (F32(1) / lane_sum(p)))
        return np.concatenate(out)

    def embed(self, token: int) -> np.ndarray:
        """One row of the embedding [hidden]."""
        e = self.mats["token_embd.weight"]
        if isinstance(e, np.ndarray):
            return e[token]
        signs, d = e
        return (signs[token] * d[token][:, None]).reshape(-1).astype(F32)

    def token(self, token: int) -> np.ndarray:
        """Append one token; its logits [vocab]."""
        x = self.embed(token)
        angles = self.rope.angles(len(self.k[0]))
        for i in range(self.layers):
            blk = f"blk.{i}."
            a = self.norm(x, blk + "attn_norm.weight")
            q, k, v = (
                gemv(self.mats[f"{blk}attn_{p}.weight"], a).reshape(-1, self.dim) for p in "qkv"
            )
            q = self.rotate(self.norm(q, blk + "attn_q_norm.weight"), angles)
            k = self.rotate(self.norm(k, blk + "attn_k_norm.weight"), angles)
            self.k[i].append(k.astype(np.float16))
            self.v[i].append(v.astype(np.float16))
            x = x + gemv(self.mats[blk + "attn_output.weight"], self.attend(i, q))
            a = self.norm(x, blk + "ffn_norm.weight")
            gate, up = (gemv(self.mats[f"{blk}ffn_{p}.weight"], a) for p in ("gate", "up"))
            h = (gate / (F32(1) + exp(-gate))) * up
            x = x + gemv(self.mats[blk + "ffn_down.weight"], h)
        return gemv(self.head, self.norm(x, "output_norm.weight"))


class Float64(Exact):
    """Published architecture in float64: no int8 activations, no f16 cache, libm functions."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = {name: full(w) for name, w in self.mats.items()}
        self.scale = float(self.rope.scale)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        """RMSNorm with the weights `name`."""
        rms = np.sqrt((x * x).mean(axis=-1, keepdims=True) + float(self.eps))
        return x / rms * self.vecs[name].astype(float)

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Logits [n, vocab] of every position, all tokens at once."""
        n, group = len(tokens), self.heads // self.kv_heads
        w = self.full
        x = w["token_embd.weight"][tokens]
        turns = np.array([[t * p % 2**64 / 2**64 for t in self.rope.turns] for p in range(n)])
        angle = 2 * np.pi * turns[:, None]  # [n, 1, dim / 2]
        angles = (np.cos(angle) * self.scale, np.sin(angle) * self.scale)
        future = np.triu(np.full((n, n), -np.inf), 1)
        for i in range(self.layers):
            blk = f"blk.{i}."
            a = self.norm(x, blk + "attn_norm.weight")
            q, k, v = ((a @ w[f"{blk}attn_{p}.weight"].T).reshape(n, -1, self.dim) for p in "qkv")
            q = self.rotate(self.norm(q, blk + "attn_q_norm.weight"), angles)
            k = self.rotate(self.norm(k, blk + "attn_k_norm.weight"), angles)
            k, v = (np.repeat(c, group, axis=1) for c in (k, v))
            scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(self.dim) + future
            p = np.exp(scores - scores.max(axis=2, keepdims=True))
            out = np.einsum("hqk,khd->qhd", p / p.sum(axis=2, keepdims=True), v).reshape(n, -1)
            x = x + out @ w[blk + "attn_output.weight"].T
            a = self.norm(x, blk + "ffn_norm.weight")
            gate, up = (a @ w[f"{blk}ffn_{p}.weight"].T for p in ("gate", "up"))
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w[blk + "ffn_down.weight"].T
        head = "output.weight" if "output.weight" in w else "token_embd.weight"
        return self.norm(x, "output_norm.weight") @ w[head].T


def logits_hash(rows: np.ndarray) -> str:
    """SHA-256 of float32 logits, little-endian: the golden value."""
    return hashlib.sha256(np.ascontiguousarray(rows, "<f4").tobytes()).hexdigest()
