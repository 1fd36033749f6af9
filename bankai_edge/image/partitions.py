"""The disk: file systems made from folders without root, and the partition table around them.

1  FAT32   boot    firmware files, kernel, device trees, initramfs, command line
2  erofs   root    read-only, compressed
3  erofs   model   read-only, as it is: the kernel maps it without a copy
4  -       data    empty; the device makes ext4 of it at its first start
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bankai_edge.errors import BankaiError
from bankai_edge.image.programs import run

SECTOR = 512
MIB = 1 << 20
ALIGN = 4 * MIB  # a card's erase blocks are no larger
FIRST = ALIGN
FAT32, LINUX = 0x0C, 0x83
BOOT_SPARE = 8 * MIB
LEAST_BOOT = 64 * MIB  # FAT32 begins at 33 MiB
LEAST_DATA = 64 * MIB
NAMES = ("boot", "root", "model", "data")


@dataclass(frozen=True)
class Partition:
    """A part of the disk, in bytes. `used` are those that a file system fills, 0 for none."""

    name: str
    kind: int
    start: int
    size: int
    used: int

    def sizes(self) -> dict[str, str | int]:
        """A line of an image's size report."""
        return {"name": self.name, "used": self.used, "size": self.size}


def make_fat(folder: Path, image: Path, when: int) -> None:
    """A FAT32 image of a flat folder; the same bytes from the same files and `when`."""
    files = sorted(path for path in folder.iterdir())
    size = max(LEAST_BOOT, _up(sum(path.stat().st_size for path in files) + BOOT_SPARE, ALIGN))
    with image.open("wb") as file:
        file.truncate(size)
    serial = f"{when & 0xFFFFFFFF:08x}"
    run("mkfs.vfat", "-F", "32", "-s", "1", "-n", "BANKAI", "-i", serial, "--invariant", image)
    for path in files:
        os.utime(path, (when, when))
    # mtools takes local times: without a zone, the same bytes come out everywhere
    run("mcopy", "-m", "-i", image, *files, "::", env={"TZ": "UTC", "SOURCE_DATE_EPOCH": str(when)})


def make_erofs(folder: Path, image: Path, when: int, *, compressed: bool) -> None:
    """An erofs image of a folder; all is root's, and no name or time is by chance."""
    image.unlink(missing_ok=True)
    name = hashlib.sha256(folder.name.encode()).hexdigest()[:32]
    packing = ("-zlz4hc,12", "-C65536") if compressed else ()
    run("mkfs.erofs", "--quiet", "--all-root", "-T", str(when), "-U", _uuid(name), *packing,
        image, folder)  # fmt: skip


def _uuid(text: str) -> str:
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))


def layout(boot: int, root: int, model: int, data: int = 0) -> list[Partition]:
    """Where the partitions lie, given the file systems' sizes in bytes.

    The disk is a power of two, as emulators of SD cards demand; what is left over is data's.
    """
    parts = []
    start = FIRST
    for name, kind, used in (("boot", FAT32, boot), ("root", LINUX, root), ("model", LINUX, model)):
        size = _up(used, ALIGN)
        parts.append(Partition(name, kind, start, size, used))
        start += size
    least = start + max(data, LEAST_DATA)
    total = 1 << (least - 1).bit_length()
    parts.append(Partition("data", LINUX, start, total - start, 0))
    return parts


def disk_size(parts: Sequence[Partition]) -> int:
    """Bytes of the whole disk."""
    return parts[-1].start + parts[-1].size


def partition_table(parts: Sequence[Partition], signature: str) -> bytes:
    """The first sector: an MBR with up to four primary partitions. `signature`: 8 hex digits."""
    sector = bytearray(SECTOR)
    sector[440:444] = struct.pack("<I", int(signature, 16))
    for number, part in enumerate(parts):
        # Addresses by cylinder, head and sector end at 8 GB: "look at the other fields".
        entry = struct.pack(
            "<B3sB3sII", 0, b"\xfe\xff\xff", part.kind, b"\xfe\xff\xff",
            part.start // SECTOR, part.size // SECTOR,
        )  # fmt: skip
        sector[446 + 16 * number : 462 + 16 * number] = entry
    sector[510:512] = b"\x55\xaa"
    return bytes(sector)


def read_table(image: Path) -> tuple[str, list[Partition]]:
    """The signature and partitions of an image's first sector; raises BankaiError."""
    with image.open("rb") as file:
        sector = file.read(SECTOR)
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        raise BankaiError(f"{image} has no partition table", expected="an image of `image build`")
    parts = []
    for number, name in enumerate(NAMES):
        _, _, kind, _, start, count = struct.unpack_from("<B3sB3sII", sector, 446 + 16 * number)
        parts.append(Partition(name, kind, start * SECTOR, count * SECTOR, 0))
    return f"{struct.unpack_from('<I', sector, 440)[0]:08x}", parts


def assemble(image: Path, parts: Sequence[Partition], files: Sequence[Path], sig: str) -> None:
    """Write the disk: table, then each file system at its place; the rest stays a hole."""
    with image.open("wb") as disk:
        disk.write(partition_table(parts, sig))
        for part, path in zip(parts, files, strict=False):
            disk.seek(part.start)
            with path.open("rb") as source:
                _copy_holes(source, disk)
        disk.truncate(disk_size(parts))


def _copy_holes(source: object, disk: object) -> None:
    """Copy, leaving out what is zero: most of a FAT partition, and most of the disk."""
    read, write, seek = source.read, disk.write, disk.seek  # type: ignore[attr-defined]
    while piece := read(MIB):
        if piece.count(0) == len(piece):
            seek(len(piece), os.SEEK_CUR)
        else:
            write(piece)


def check_space(folder: Path, needed: int) -> None:
    """Raise BankaiError unless the folder's file system has room."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BankaiError(
            f"{folder} has {free // MIB} MB free",
            expected=f"{-(-needed // MIB)} MB for the image and what it is made of",
            next_step="Free some space, or give -o another place.",
        )


def _up(size: int, to: int) -> int:
    return max(to, -(-size // to) * to)
