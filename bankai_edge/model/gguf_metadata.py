"""Reads a GGUF's key/values in Python, for what the core has no use for (templates, copying)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from bankai_edge.errors import BankaiError

_STRING, _ARRAY = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def _skip(data: Any, at: int, kind: int) -> int:
    """Offset past a value of `kind` at `at`."""
    if kind == _STRING:
        return at + 8 + int(struct.unpack_from("<Q", data, at)[0])
    if kind != _ARRAY:
        return at + _WIDTHS[kind]
    element, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if element != _STRING:
        return at + _WIDTHS[element] * int(count)
    length = struct.Struct("<Q").unpack_from
    for _ in range(count):
        at += 8 + length(data, at)[0]
    return at


def entries(data: Any) -> Iterator[tuple[str, int, bytes]]:
    """Key, type id and raw bytes of every key/value of a GGUF v3 in a buffer.

    Raises:
        BankaiError: the bytes are no such file, or end too early.
    """
    try:
        magic, version, _, n = struct.unpack_from("<4sIQQ", data, 0)
        if magic != b"GGUF" or version != 3:
            raise BankaiError("the bytes are no GGUF", expected="a GGUF v3 file")
        at = 24
        for _ in range(n):
            (size,) = struct.unpack_from("<Q", data, at)
            key = bytes(data[at + 8 : at + 8 + size]).decode("utf-8", "replace")
            at += 8 + size
            (kind,) = struct.unpack_from("<I", data, at)
            end = _skip(data, at + 4, kind)
            if end > len(data):
                raise BankaiError(f"the GGUF ends inside {key}", expected="a whole file")
            yield key, kind, bytes(data[at + 4 : end])
            at = end
    except (struct.error, KeyError, OverflowError) as error:
        raise BankaiError("the GGUF's key/values are cut short or malformed") from error


def lookup(data: Any, *keys: str) -> dict[str, Any]:
    """The scalar and string values of `keys`; absent ones are left out."""
    found: dict[str, Any] = {}
    for key, kind, raw in entries(data):
        if key in keys and kind == _STRING:
            found[key] = raw[8:].decode("utf-8", "replace")
        elif key in keys and kind in _FORMS:
            found[key] = struct.unpack("<" + _FORMS[kind], raw)[0]
        if len(found) == len(keys):
            break
    return found
