"""Writes GGUF v3 files as a stream: the header first, then each tensor's bytes in order.

Nothing but the header is held in memory, so the size of a model does not matter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bankai_edge._facts import BF16, F16, F32, GROUP, GROUP_BYTES, Q1_0
from bankai_edge.durable import replacing
from bankai_edge.errors import BankaiError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_ROW_BYTES = {F32: (1, 4), F16: (1, 2), BF16: (1, 2), Q1_0: (GROUP, GROUP_BYTES)}
_U32, _I32, _F32, _BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Raw:
    """A value as it stands in a GGUF: the type's id, and the bytes that follow it."""

    kind: int
    data: bytes


@dataclass(frozen=True)
class TensorPlan:
    """One tensor before its data: `shape` is [rows, cols] or [n], rows being the slow dimension."""

    name: str
    kind: int
    shape: tuple[int, ...]

    @property
    def n_weights(self) -> int:
        """Elements."""
        n = 1
        for size in self.shape:
            n *= size
        return n

    @property
    def n_bytes(self) -> int:
        """Bytes of data, without padding."""
        weights, size = _ROW_BYTES[self.kind]
        return self.n_weights // weights * size


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(item: Any) -> bytes:
    """A typed value: ints become u32, int lists i32, floats f32; `Raw` goes out as it is."""
    if isinstance(item, Raw):
        return struct.pack("<I", item.kind) + item.data
    if isinstance(item, bool):
        return struct.pack("<I?", _BOOL, item)
    if isinstance(item, int):
        return struct.pack("<II", _U32, item)
    if isinstance(item, float):
        return struct.pack("<If", _F32, item)
    if isinstance(item, str):
        return struct.pack("<I", STRING) + _string(item)
    if isinstance(item, list) and item and isinstance(item[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(item)) + b"".join(map(_string, item))
    if isinstance(item, list) and item and isinstance(item[0], int):
        return struct.pack("<IIQ", ARRAY, _I32, len(item)) + np.array(item, "<i4").tobytes()
    raise TypeError(f"no GGUF type for {item!r}")


def header(
    metadata: Mapping[str, Any], tensors: Sequence[TensorPlan], alignment: int = 32
) -> bytes:
    """Everything before the data, padded. `alignment` other than 32 must also be in `metadata`."""
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))]
    parts += [_string(key) + value(item) for key, item in metadata.items()]
    offset = 0
    for t in tensors:
        dims = t.shape[::-1]  # GGUF names the fastest dimension first
        parts.append(_string(t.name))
        parts.append(struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, t.kind, offset))
        offset += t.n_bytes + -t.n_bytes % alignment
    size = sum(map(len, parts))
    return b"".join([*parts, bytes(-size % alignment)])


def file_bytes(head: bytes, tensors: Sequence[TensorPlan], alignment: int = 32) -> int:
    """Size of the file that `header` begins."""
    return len(head) + sum(t.n_bytes + -t.n_bytes % alignment for t in tensors)


class Writer:
    """Takes the tensors' bytes in the order of the plans, in pieces of any size."""

    def __init__(self, descriptor: int, head: bytes, tensors: Sequence[TensorPlan], alignment: int):
        self._descriptor = descriptor
        self._ends = []
        end = len(head)
        for t in tensors:
            self._ends.append((t, end + t.n_bytes))
            end += t.n_bytes + -t.n_bytes % alignment
        self._alignment = alignment
        self.written = 0
        self._put(head)

    def _put(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            n = os.write(self._descriptor, view)
            self.written += n
            view = view[n:]

    def write(self, data: Buffer | NDArray[Any]) -> None:
        """Append data of the current tensor; its end is padded by itself."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        plan, end = self._ends[0]
        if self.written + len(view) > end:
            raise ValueError(f"{plan.name} is given more than its {plan.n_bytes} bytes")
        self._put(view)
        if self.written == end:
            self._ends.pop(0)
            self._put(bytes(-end % self._alignment))

    def check(self) -> None:
        """Raise ValueError when a tensor's data is missing."""
        if self._ends:
            raise ValueError(f"{self._ends[0][0].name} lacks data")


@contextlib.contextmanager
def gguf_file(
    path: Path,
    metadata: Mapping[str, Any],
    tensors: Sequence[TensorPlan],
    *,
    alignment: int = 32,
) -> Iterator[Writer]:
    """A writer whose file appears at `path` when the block ends well, and never in part.

    Raises:
        BankaiError: the disk is full (known before the first byte, where it can be), or the place
            cannot be written.
    """
    if alignment != 32:
        metadata = {**metadata, "general.alignment": alignment}
    head = header(metadata, tensors, alignment)
    need = file_bytes(head, tensors, alignment)
    writer: Writer | None = None
    try:
        free = shutil.disk_usage(path.parent).free
        if free < need:
            raise _disk_full(path, need, free)
        with replacing(path) as file:
            writer = Writer(file.fileno(), head, tensors, alignment)
            yield writer
            writer.check()
    except OSError as error:
        if error.errno in _FULL:
            raise _disk_full(path, need, writer.written if writer else 0) from error
        raise BankaiError(
            f"{path} cannot be written ({error.strerror})", next_step="Choose another place"
        ) from error


def _disk_full(path: Path, need: int, room: int) -> BankaiError:
    return BankaiError(
        f"no room for {path}: {room:,} bytes fit",
        expected=f"{need:,} bytes",
        next_step="Free some space or choose another disk; nothing was left behind",
    )
