"""Make the UF2 file that a Raspberry Pi Pico takes as a USB drive, and put it there.

    python firmware/scripts/firmware_uf2.py rp2040|rp2350 ELF

Writes ELF with the ending .uf2. If a Pico in its boot mode (BOOTSEL held while it is plugged in) is
mounted, the file is also copied there, and the Pico starts it. The format is Microsoft's UF2; that
an RP2040's first 252 bytes need a CRC-32/MPEG-2 behind them is in its data sheet, section 2.8.1.3.
"""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

FAMILIES = {"rp2040": 0xE48BFF56, "rp2350": 0xE48BFF59}
DRIVES = {"rp2040": "RPI-RP2", "rp2350": "RP2350"}
MOUNTS = ("/media/*", "/run/media/*", "/Volumes", "/mnt")
FLASH, PAGE, STAGE = 0x10000000, 256, 252
START1, START2, END, HAS_FAMILY = 0x0A324655, 0x9E5D5157, 0x0AB16F30, 0x2000
PT_LOAD = 1


def segments(elf: bytes) -> list[tuple[int, bytes]]:
    """Load address and bytes of what an ELF puts into flash; raises ValueError if it is none."""
    if elf[:5] != b"\x7fELF\x01":
        raise ValueError("no 32-bit ELF")
    (table,) = struct.unpack_from("<I", elf, 28)
    size, count = struct.unpack_from("<HH", elf, 42)
    found = []
    for i in range(count):
        kind, at, _, load, n = struct.unpack_from("<5I", elf, table + i * size)
        if kind == PT_LOAD and n:
            found.append((load, elf[at : at + n]))
    return found


def crc32_mpeg2(data: bytes) -> int:
    """CRC-32 with the usual polynomial, most significant bit first, and no final inversion."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


def pages(parts: list[tuple[int, bytes]]) -> dict[int, bytearray]:
    """Flash pages by address; what nothing is loaded into stays erased."""
    found: dict[int, bytearray] = {}
    for load, data in parts:
        for i, byte in enumerate(data):
            page = found.setdefault((load + i) // PAGE * PAGE, bytearray(b"\xff" * PAGE))
            page[(load + i) % PAGE] = byte
    return found


def uf2(elf: bytes, family: str) -> bytes:
    """The whole file; raises ValueError if the program is not for a Pico's flash."""
    image = pages(segments(elf))
    if FLASH not in image or any(not FLASH <= at < FLASH + (16 << 20) for at in image):
        raise ValueError(f"the program does not lie in flash at {FLASH:#x}")
    if family == "rp2040":
        first = image[FLASH]
        struct.pack_into("<I", first, STAGE, crc32_mpeg2(bytes(first[:STAGE])))
    blocks = []
    for number, at in enumerate(sorted(image)):
        head = struct.pack("<8I", START1, START2, HAS_FAMILY, at, PAGE, number, len(image),
                           FAMILIES[family])  # fmt: skip
        blocks.append(head + bytes(image[at]) + bytes(476 - PAGE) + struct.pack("<I", END))
    return b"".join(blocks)


def drive(family: str) -> Path | None:
    """Where a Pico in its boot mode is mounted."""
    for pattern in MOUNTS:
        for place in Path("/").glob(pattern.lstrip("/")):
            candidate = place / DRIVES[family]
            if (candidate / "INFO_UF2.TXT").is_file():
                return candidate
    return None


def main(arguments: list[str]) -> int:
    """Run the command line; exit codes 0 done, 1 no such program, 2 usage."""
    if len(arguments) != 2 or arguments[0] not in FAMILIES:
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    family, elf = arguments[0], Path(arguments[1])
    try:
        data = uf2(elf.read_bytes(), family)
    except (OSError, ValueError, struct.error) as error:
        print(f"{elf}: {error}", file=sys.stderr)
        return 1
    target = elf.with_suffix(".uf2")
    target.write_bytes(data)
    print(f"{target}: {len(data):,} bytes")
    place = drive(family)
    if place is None:
        print(f"No drive {DRIVES[family]} is mounted: hold BOOTSEL while you plug the Pico in, "
              f"then copy {target.name} there.")  # fmt: skip
    else:
        shutil.copy(target, place)
        print(f"copied to {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
