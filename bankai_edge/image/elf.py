"""Which shared libraries an aarch64 program or library asks for: ELF's dynamic section, read."""

from __future__ import annotations

import struct

MACHINE_AARCH64 = 183
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB = 1, 5


def needed(image: bytes, name: str) -> list[str]:
    """The libraries that an ELF file names; [] for a static one. Raises ValueError.

    `name` is what to call the file when it is not ELF, not for aarch64, or cut off.
    """
    if image[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{name} is not a 64-bit little-endian ELF file")
    try:
        machine, offset, size, count = (
            struct.unpack_from(form, image, at)[0]
            for form, at in (("<H", 18), ("<Q", 32), ("<H", 54), ("<H", 56))
        )
        if machine != MACHINE_AARCH64:
            raise ValueError(f"{name} is for ELF machine {machine}, not {MACHINE_AARCH64}")
        headers = [struct.unpack_from("<IIQQQQ", image, offset + size * n) for n in range(count)]
        entries = [
            struct.unpack_from("<qQ", image, at)
            for kind, _, start, _, _, length in headers
            if kind == _DYNAMIC
            for at in range(start, start + length, 16)
        ]
        table = next((value for tag, value in entries if tag == _STRTAB), 0)
        strings = next(
            (table - address + start
             for kind, _, start, address, _, length in headers
             if kind == _LOAD and address <= table < address + length), 0,
        )  # fmt: skip
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{name} is cut off") from error
    return [_text(image, strings + value) for tag, value in entries if tag == _NEEDED]


def _text(image: bytes, at: int) -> str:
    return image[at : image.index(b"\0", at)].decode()
