"""A GGUF's key/values, as the core reads them: for copying, and for what it has no use for."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bankai_edge import _engine
from bankai_edge.errors import CoreError
from bankai_edge.model.gguf_writer import ARRAY, STRING
from bankai_edge.model.refusals import model_error

if TYPE_CHECKING:
    from typing_extensions import Buffer

_NUMBERS = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8",
    11: "<i8", 12: "<f8",
}  # fmt: skip


def entries(data: Buffer, where: Path) -> list[tuple[str, int, bytes]]:
    """Key, type id and raw bytes of every key/value of a GGUF in a buffer.

    Raises BankaiError for bytes that are no such file, or end too early; `where` is their file.
    """
    try:
        return _engine.gguf_entries(data)
    except CoreError as error:
        raise model_error(str(where), error) from None


def decoded(kind: int, raw: bytes) -> Any:
    """The value that the raw bytes of a type stand for; an array's are a list."""
    if kind == STRING:
        return raw[8:].decode("utf-8", "replace")
    if kind != ARRAY:
        return np.frombuffer(raw, _NUMBERS[kind]).item()
    element, count = struct.unpack_from("<IQ", raw)
    if element != STRING:
        return np.frombuffer(raw, _NUMBERS[element], count, 12).tolist()
    texts, at = [], 12
    for _ in range(count):
        end = at + 8 + struct.unpack_from("<Q", raw, at)[0]
        texts.append(raw[at + 8 : end].decode("utf-8", "replace"))
        at = end
    return texts
