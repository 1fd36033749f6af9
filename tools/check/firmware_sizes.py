"""What the core costs in flash on a Cortex-M4: all of it, and what a switcher needs.

    python tools/check/firmware_sizes.py            print sizes and the largest things in them
    python tools/check/firmware_sizes.py --check    fail if one is over its limit

Linked at -Os with --gc-sections from core, kernels, zcbor and what they call of newlib-nano:
"everything" keeps every public function; a "switcher" keeps patches, frames and the SMP server, for
a chip that holds patches for something else. A port adds its drivers and its store to either;
firmware/scripts/firmware_ram.py says what a whole firmware takes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import cross_cortex_m as cross

CHIP = "m4"
LARGEST = 8
SWITCHER = r"bk_(patch|crc|sha256|frame|smp)_?"
LIMITS = {"everything": 64 << 10, "switcher": 20 << 10}  # bytes


def _nm(*arguments: str) -> str:
    return subprocess.check_output(["arm-none-eabi-nm", *arguments], text=True)


def link(objects: list[Path], roots: list[str], elf: Path) -> None:
    """Link what the roots need, with no startup: the sections that remain are the cost."""
    subprocess.run(
        [cross.GCC, *cross.FLAGS, *cross.CHIPS[CHIP].flags, "-nostartfiles", "--specs=nano.specs",
         "-Wl,--gc-sections", "-Wl,-e,0", *(f"-Wl,-u,{root}" for root in roots),
         *map(str, objects), "-o", str(elf)],
        check=True,
    )  # fmt: skip


def measure(elf: Path) -> dict[str, int]:
    """Flash (text, constants, data), RAM (data, bss), then the largest symbols, in bytes."""
    line = subprocess.check_output(["arm-none-eabi-size", str(elf)], text=True).splitlines()[1]
    text, data, bss = map(int, line.split()[:3])
    sizes = {"flash": text + data, "static RAM": data + bss}
    for symbol in _nm("-S", "--size-sort", "-r", str(elf)).splitlines()[:LARGEST]:
        _, size, _, name = symbol.split()
        sizes[name] = int(size, 16)
    return sizes


def sizes(out: Path) -> dict[str, dict[str, int]]:
    """Both programs' sizes; objects and programs go to `out`."""
    objects = cross.library(cross.CHIPS[CHIP], out, "-Os")
    own = [str(path) for path in objects if not path.name.startswith("zcbor")]
    public = re.findall(r"^\S+ [TR] (\S+)$", _nm(*own), re.M)
    roots = {
        "everything": public,
        "switcher": [name for name in public if re.match(SWITCHER, name)],
    }
    table = {}
    for name, kept in roots.items():
        link(objects, kept, out / name)
        table[name] = measure(out / name)
    return table


def main() -> int:
    """0: measured, within limits if asked; 1: over one; 2: no compiler."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="fail if a size is over its limit")
    args = parser.parse_args()
    if cross.missing_tool():
        print(f"{cross.GCC} is not installed (apt-get install {cross.PACKAGES})", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as out:
        table = sizes(Path(out))
    print(json.dumps(table, indent=1))
    over = [name for name, limit in LIMITS.items() if table[name]["flash"] > limit]
    for name in over:
        print(f"{name}: {table[name]['flash']} bytes, the limit is {LIMITS[name]}", file=sys.stderr)
    return 1 if args.check and over else 0


if __name__ == "__main__":
    sys.exit(main())
