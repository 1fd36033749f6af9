"""Count the instructions of every aarch64 kernel, exactly, in an emulator.

    python tools/check/count_instructions.py            print the table
    python tools/check/count_instructions.py --write    and write boards/counts/instructions.json
    python tools/check/count_instructions.py --check    fail if one count rose by more than 2 %

The program is tests/c/count_kernels.c; qemu_count.py says what a count is.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cross_aarch64 as cross
import qemu_count

from bankai_edge._facts import GROUP

TABLE = cross.ROOT / "boards/counts" / "instructions.json"
CPU = "cortex-a76"  # has every instruction; counts do not depend on the CPU
KERNELS = ("neon-lut", "neon-sdot", "neon-popcount", "scalar")
SHAPES = ((2048, 2048), (6144, 2048), (2048, 6144))  # rows, columns: o, gate or up, down of 1.7B
BATCH = 32  # vectors of the GEMM


class Kernels:
    """A cross-compiled count_kernels, and what counts for it."""

    def __init__(self, out: Path) -> None:
        source = cross.ROOT / "tests" / "c" / "count_kernels.c"
        self._binary = cross.program(source, cross.library(out), out)
        probe = self._line("scalar", "quantise", "1", "128", "1", "0")
        self._counter = qemu_count.counter(out, *probe)

    def _line(self, *arguments: str) -> list[str]:
        return [cross.QEMU, "-cpu", CPU, str(self._binary), *arguments]

    def cost(self, kernel: str, operation: str, rows: int, cols: int, vectors: int = 1) -> int:
        """Instructions of one `operation`."""
        job = (kernel, operation, str(rows), str(cols), str(vectors))
        return self._counter.difference(lambda times: self._line(*job, times))


def count_kernel(counter: Kernels, kernel: str) -> dict[str, float]:
    """One kernel's figures; per 128 weights unless the name says otherwise."""
    figures: dict[str, float] = {}
    for rows, cols in SHAPES:
        name = f"gemv {rows}x{cols}"
        figures[name], prepare = qemu_count.gemv(counter.cost, kernel, rows, cols)
        figures[f"{name}: of it quantising and tables"] = prepare
    rows, cols = SHAPES[0]
    if kernel not in ("neon-popcount", "scalar"):  # which have no GEMM of their own
        whole = counter.cost(kernel, "gemm", rows, cols, BATCH)
        figures[f"gemm {rows}x{cols}, {BATCH} vectors: and per vector"] = round(
            whole * GROUP / (rows * cols * BATCH), 2
        )
    return figures


def count_vectors(counter: Kernels, kernel: str) -> dict[str, float]:
    """What all NEON kernels share: per element; attention per position and dimension."""
    return {
        "rms_norm 2048": round(counter.cost(kernel, "rms_norm", 1, 2048) / 2048, 2),
        "silu_mul 6144": round(counter.cost(kernel, "silu_mul", 1, 6144) / 6144, 2),
        "attend 1024x128": round(counter.cost(kernel, "attend", 1024, 128) / 1024 / 128, 2),
    }


def count() -> dict[str, object]:
    """The whole table as it stands in boards/counts/instructions.json."""
    with tempfile.TemporaryDirectory() as scratch:
        counter = Kernels(Path(scratch))
        table: dict[str, object] = {
            "what": "instructions per 128 weights (vectors: per element)",
            "compiler": qemu_count.compiler(cross.GCC),
        }
        table.update({kernel: count_kernel(counter, kernel) for kernel in KERNELS})
        table["neon vectors"] = count_vectors(counter, KERNELS[0])
        table["scalar vectors"] = count_vectors(counter, "scalar")
        return table


if __name__ == "__main__":
    sys.exit(qemu_count.keep_table(__doc__, TABLE, count, cross))
