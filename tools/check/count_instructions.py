"""Count the instructions of every aarch64 kernel, exactly, in an emulator.

    python tools/check/count_instructions.py            print the table
    python tools/check/count_instructions.py --write    and write boards/counts/instructions.json
    python tools/check/count_instructions.py --check    fail if one count rose by more than 2 %

A count is the difference between two runs of tests/c/count_kernels.c that differ in nothing but
how often the operation ran, so it repeats to the last instruction on any host. It says nothing
about time: that is for the boards themselves.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cross_aarch64 as cross

TABLE = cross.ROOT / "boards/counts" / "instructions.json"
CPU = "cortex-a76"  # has every instruction; counts do not depend on the CPU
KERNELS = ("neon-lut", "neon-sdot", "neon-popcount", "scalar")
SHAPES = ((2048, 2048), (6144, 2048), (2048, 6144))  # rows, columns: o, gate or up, down of 1.7B
BATCH = 32  # vectors of the GEMM
TOLERANCE = 1.02


@dataclass(frozen=True)
class Counter:
    """A cross-compiled count_kernels and the plugin that counts for it."""

    binary: Path
    plugin: Path

    def executed(self, *arguments: str) -> int:
        """Instructions of one run of the whole program; raises RuntimeError if it fails."""
        with tempfile.TemporaryDirectory() as scratch:
            log = Path(scratch) / "count"
            command = [
                cross.QEMU, "-cpu", CPU, "-plugin", str(self.plugin), "-d", "plugin",
                "-D", str(log), str(self.binary), *arguments,
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, env={}, timeout=600)
            if done.returncode:
                raise RuntimeError(f"{' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
            return int(log.read_text())

    def cost(self, kernel: str, operation: str, rows: int, cols: int, vectors: int = 1) -> int:
        """Instructions of one `operation`."""
        job = (kernel, operation, str(rows), str(cols), str(vectors))
        return self.executed(*job, "1") - self.executed(*job, "0")


def build(out: Path) -> Counter:
    """Compile the counted program and the first version of the plugin that this QEMU accepts."""
    source = cross.ROOT / "tests" / "c" / "count_kernels.c"
    binary = cross.program(source, cross.library(out), out)
    for version in (1, 2):
        counter = Counter(binary, out / f"count{version}.so")
        subprocess.run(
            ["gcc", "-O2", "-shared", "-fPIC", f"-DAPI_VERSION={version}",
             str(Path(__file__).parent / "qemu_insn_count.c"), "-o", str(counter.plugin)],
            check=True,
        )  # fmt: skip
        try:
            counter.executed("scalar", "quantise", "1", "128", "1", "0")
        except (RuntimeError, OSError, ValueError) as problem:
            why = problem
            continue
        return counter
    raise RuntimeError(f"this {cross.QEMU} accepts no plugin: {why}")


def count_kernel(counter: Counter, kernel: str) -> dict[str, float]:
    """One kernel's figures; per 128 weights unless the name says otherwise."""
    figures: dict[str, float] = {}
    for rows, cols in SHAPES:
        blocks = rows * cols // 128
        prepare = counter.cost(kernel, "quantise", rows, cols)
        whole = counter.cost(kernel, "gemv", rows, cols) + prepare
        figures[f"gemv {rows}x{cols}"] = round(whole / blocks, 2)
        figures[f"gemv {rows}x{cols}: of it quantising and tables"] = round(prepare / blocks, 2)
    rows, cols = SHAPES[0]
    if kernel not in ("neon-popcount", "scalar"):  # which have no GEMM of their own
        whole = counter.cost(kernel, "gemm", rows, cols, BATCH)
        figures[f"gemm {rows}x{cols}, {BATCH} vectors: and per vector"] = round(
            whole * 128 / (rows * cols * BATCH), 2
        )
    return figures


def count_vectors(counter: Counter, kernel: str) -> dict[str, float]:
    """What all NEON kernels share: per element; attention per position and dimension."""
    return {
        "rms_norm 2048": round(counter.cost(kernel, "rms_norm", 1, 2048) / 2048, 2),
        "silu_mul 6144": round(counter.cost(kernel, "silu_mul", 1, 6144) / 6144, 2),
        "attend 1024x128": round(counter.cost(kernel, "attend", 1024, 128) / 1024 / 128, 2),
    }


@cache
def compiler() -> str:
    """The cross compiler's name and version; other versions count otherwise."""
    line = subprocess.check_output([cross.GCC, "--version"], text=True).splitlines()[0]
    version = re.search(r"(\d+\.\d+)\.\d+$", line)
    return f"gcc {version.group(1) if version else line}"


def count() -> dict[str, object]:
    """The whole table as it stands in boards/counts/instructions.json."""
    with tempfile.TemporaryDirectory() as scratch:
        counter = build(Path(scratch))
        table: dict[str, object] = {
            "what": "instructions per 128 weights (vectors: per element)",
            "compiler": compiler(),
        }
        table.update({kernel: count_kernel(counter, kernel) for kernel in KERNELS})
        table["neon vectors"] = count_vectors(counter, KERNELS[0])
        table["scalar vectors"] = count_vectors(counter, "scalar")
        return table


def risen(found: dict[str, object], expected: dict[str, object]) -> list[str]:
    """One sentence for each count that is missing or more than 2 % above the table's."""
    problems = []
    for group, figures in expected.items():
        if not isinstance(figures, dict):
            continue
        now = found.get(group)
        for name, limit in figures.items():
            value = now.get(name) if isinstance(now, dict) else None
            if value is None:
                problems.append(f"{group}, {name}: no longer counted, the table has {limit}")
            elif value > limit * TOLERANCE and value - limit > 0.01:
                problems.append(f"{group}, {name}: {value}, the table has {limit}")
    return problems


def main() -> int:
    """0: counted, or no count rose; 1: one rose; 2: cannot count here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--write", action="store_true", help="write boards/counts/instructions.json"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with boards/counts/instructions.json"
    )
    args = parser.parse_args()
    tool = cross.missing_tool()
    if tool:
        print(f"{tool} is not installed (apt-get install {cross.PACKAGES})", file=sys.stderr)
        return 2
    expected = json.loads(TABLE.read_text()) if args.check else {}
    if args.check and expected["compiler"] != compiler():
        print(f"The table was made with {expected['compiler']}; this is {compiler()}, which counts "
              "otherwise: install that one, or write a new table.", file=sys.stderr)  # fmt: skip
        return 2
    table = count()
    print(json.dumps(table, indent=1))
    if args.write:
        TABLE.write_text(json.dumps(table, indent=1) + "\n")
    problems = risen(table, expected)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
