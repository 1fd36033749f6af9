"""A small GGUF v3 writer and reader for the nano model (standard library and NumPy).

Written here and not taken from a package because type 41 (Q1_0) is younger than the packages.
Layout: "GGUF", version, tensor count, key/value count, key/values, tensor table, then data aligned
to 32 bytes; all little-endian.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 32  # bytes, GGUF's default
TYPE_F32 = 0
TYPE_Q1_0 = 41
GROUP = 128  # weights that share one fp16 scale
BLOCK_BYTES = 18

_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_SCALAR = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}


def pack_q1_0(weight: np.ndarray) -> bytes:
    """[rows, cols] float → Q1_0: per 128, fp16(mean|w|) then 128 sign bits, LSB first, 1 = +."""
    groups = np.ascontiguousarray(weight, dtype=np.float32).reshape(-1, GROUP)
    scale = np.abs(groups).mean(axis=1).astype("<f2")  # [groups]
    out = np.empty((groups.shape[0], BLOCK_BYTES), dtype=np.uint8)
    out[:, :2] = scale.view(np.uint8).reshape(-1, 2)
    out[:, 2:] = np.packbits(~np.signbit(groups), axis=1, bitorder="little")
    return out.tobytes()


def unpack_q1_0(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Q1_0 bytes → float32 of ±scale."""
    blocks = np.frombuffer(data, dtype=np.uint8).reshape(-1, BLOCK_BYTES)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)  # [groups, 1]
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little")
    weights: np.ndarray = np.where(bits == 1, scale, -scale).astype(np.float32)
    return weights.reshape(shape)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    """A typed GGUF value; ints become u32, int lists i32, string lists strings."""
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _U32, value)
    if isinstance(value, float):
        return struct.pack("<If", _F32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_string, value))
    if isinstance(value, list) and value and isinstance(value[0], int):
        return struct.pack(f"<IIQ{len(value)}i", _ARRAY, _I32, len(value), *value)
    raise TypeError(f"no GGUF type for {value!r}")


def write_gguf(path: Path, metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Writes matrices (2-D) as Q1_0 and vectors (1-D) as F32, in the order given."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    head += b"".join(_string(key) + _value(value) for key, value in metadata.items())
    data = bytearray()
    for name, array in tensors.items():
        kind = TYPE_Q1_0 if array.ndim == 2 else TYPE_F32
        raw = pack_q1_0(array) if kind == TYPE_Q1_0 else array.astype("<f4").tobytes()
        dims = array.shape[::-1]  # GGUF names the fastest dimension first
        head += _string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += raw + bytes(-len(raw) % ALIGNMENT)
    path.write_bytes(head + bytes(-len(head) % ALIGNMENT) + data)


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, fmt: str) -> Any:
        (value,) = struct.unpack_from(fmt, self.data, self.at)
        self.at += struct.calcsize(fmt)
        return value

    def string(self) -> str:
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            inner = self.take("<I")
            return [self.value(inner) for _ in range(self.take("<Q"))]
        return self.take(_SCALAR[kind])


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(metadata, float32 tensors [rows, cols]); Q1_0 comes back as ±scale."""
    cursor = _Cursor(path.read_bytes())
    magic, version = cursor.take("<4s"), cursor.take("<I")
    if magic != b"GGUF" or version != 3:
        raise ValueError(f"{path}: not a GGUF v3 file (magic {magic!r}, version {version})")
    n_tensors, n_kv = cursor.take("<Q"), cursor.take("<Q")
    metadata = {}
    for _ in range(n_kv):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.take("<I"))
    table = []
    for _ in range(n_tensors):
        name = cursor.string()
        dims = [cursor.take("<Q") for _ in range(cursor.take("<I"))]
        table.append((name, tuple(dims[::-1]), cursor.take("<I"), cursor.take("<Q")))
    base = -(-cursor.at // ALIGNMENT) * ALIGNMENT
    tensors = {}
    for name, shape, kind, offset in table:
        count, start = int(np.prod(shape)), base + offset
        if kind == TYPE_Q1_0:
            raw = cursor.data[start : start + count // GROUP * BLOCK_BYTES]
            tensors[name] = unpack_q1_0(raw, shape)
        elif kind == TYPE_F32:
            tensors[name] = np.frombuffer(cursor.data, "<f4", count, start).reshape(shape).copy()
        else:
            raise ValueError(f"{path}: tensor {name} has type {kind}; the nano has 0 and 41 only")
    return metadata, tensors
