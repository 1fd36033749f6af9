"""Count the instructions of the Cortex-M kernels, of a token and of a switch, exactly, in QEMU.

    python tools/check/count_cortex_m.py            print the table
    python tools/check/count_cortex_m.py --write    and write it to boards/counts/cortex_m.json
    python tools/check/count_cortex_m.py --check    fail if one count rose by more than 2 %

The bare programs are tests/c/count_kernels.c and count_model.c; qemu_count.py says what a count is.
Tokens per second follow from the cycles per instruction that PARTS assumes, and no part was at hand
to check them.
"""

from __future__ import annotations

import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cross_cortex_m as cross
import qemu_count

from bankai_edge.model import Model
from bankai_edge.patch import Patch, encode
from bankai_edge.patch.bind import bind

TABLE = cross.ROOT / "boards/counts" / "cortex_m.json"
NANO = cross.ROOT / "bankai_edge" / "shipped" / "nano.gguf"
ARITH = NANO.with_name("arith.bkp")
# rows, columns of nano: q or o, gate or up, down, vocabulary
SHAPES = ((256, 256), (768, 256), (256, 768), (512, 256))
POSITION = 20  # tokens in the cache before the one that is counted; its size is 48
OPTIMISE = "-Os"  # as the firmware is built; the kernels' own files ask for -O2 in either case
ROWS = 93  # of 256 columns, in the patch whose switch is counted
SMALL_PANEL = 128  # of the look-up tables, on a chip that is short of RAM
COMPUTED = "tokens/s, computed, not measured"


@dataclass(frozen=True)
class Part:
    """A part that is sold: its clock, and what is assumed of its core."""

    name: str
    chip: str
    kernel: str
    mhz: int
    cycles: float  # per instruction


PARTS = (
    Part("STM32F405", "m4", f"dsp, tables of {SMALL_PANEL} columns", 168, 1.75),
    Part("Cortex-M7 such as STM32H743", "m7", "dsp", 400, 1.0),
    Part("Cortex-M55", "m55", "mve", 400, 3.0),
)
WHY_CYCLES = (
    "M4: loads take two cycles and most look-ups wait for their index; M7: two instructions a "
    "cycle at best, one beside such waits; M55: two cycles a vector instruction, eight or more a "
    "gather. No wait states of flash."
)


@dataclass
class Programs:
    """The counted programs of one chip, and what counts for them."""

    chip: cross.Chip
    counter: qemu_count.Counter
    kernels: Path
    model: Path

    def difference(self, binary: Path, *arguments: str) -> int:
        """Instructions of what ran once more."""
        return self.counter.difference(
            lambda times: cross.command(self.chip, binary, *arguments, times)
        )

    def cost(self, kernel: str, operation: str, rows: int, cols: int) -> int:
        """Instructions of one operation of a kernel."""
        return self.difference(self.kernels, kernel, operation, str(rows), str(cols), "1")

    def step(self, kernel: str, operation: str, patch: Path | str = "-") -> int:
        """Instructions of one token or switch."""
        job = (str(NANO), kernel, operation, str(POSITION), str(patch))
        return self.difference(self.model, *job)


def build(name: str, scratch: Path, *flags: str, optimise: str = OPTIMISE) -> Programs:
    """Compile the counted programs for a chip, and the plugin that this QEMU accepts."""
    chip, out = cross.CHIPS[name], scratch / "-".join((name, optimise, *flags))
    out.mkdir()
    objects = cross.library(chip, out, optimise, *flags)
    tests = cross.ROOT / "tests" / "c"
    kernels, model = (
        cross.program(chip, tests / f"count_{what}.c", objects, out)
        for what in ("kernels", "model")
    )
    return Programs(chip, counter(scratch), kernels, model)


def counter(scratch: Path) -> qemu_count.Counter:
    """One for system mode."""
    probe = [cross.QEMU, "-M", "none", "-display", "none", "-S", "-monitor", "stdio"]
    return qemu_count.counter(scratch, *probe)


def count_kernel(programs: Programs, kernel: str) -> dict[str, float]:
    """Per 128 weights, with quantising and tables; vectors per element."""
    figures: dict[str, float] = {}
    for rows, cols in SHAPES:
        figures[f"gemv {rows}x{cols}"], _ = qemu_count.gemv(programs.cost, kernel, rows, cols)
    figures["quantise 256"] = round(programs.cost(kernel, "quantise", 1, 256) / 256, 2)
    figures["rms_norm 256"] = round(programs.cost(kernel, "rms_norm", 1, 256) / 256, 2)
    figures["silu_mul 768"] = round(programs.cost(kernel, "silu_mul", 1, 768) / 768, 2)
    heads = programs.cost(kernel, "attend", POSITION + 1, 32)
    figures[f"attend {POSITION + 1}x32"] = round(heads / (POSITION + 1) / 32, 2)
    return figures


def rows_patch(out: Path) -> Path:
    """A patch of ROWS row flips in gate and up, bound to the nano model."""
    rng = random.Random(1)
    rows: set[tuple[int, int, int]] = set()
    model = Model(NANO)
    while len(rows) < ROWS:
        rows.add((rng.randrange(6), rng.choice((4, 5)), rng.randrange(768)))
    path = out / "rows.bkp"
    path.write_bytes(encode(bind(Patch("rows", rows=tuple(sorted(rows))), model)))
    return path


def count_switch(programs: Programs, patch: Path) -> dict[str, int]:
    """Instructions of the ways to another active set."""
    names = {
        "select": "overlay, built before",
        "build": "building the overlay",
        "apply": "in place, from none, with CRC",
        "change": "in place, from another patch of as many, with CRC",
        "revert": "in place, to none",
    }
    return {words: programs.step("dsp", name, patch) for name, words in names.items()}


def count_chip(name: str, kernels: tuple[str, ...], scratch: Path) -> dict[str, dict[str, float]]:
    """All of one chip."""
    programs = build(name, scratch)
    table: dict[str, dict[str, float]] = {}
    tokens: dict[str, float] = {}
    for kernel in kernels:
        if kernels.index(kernel) == 0 or kernel == "scalar":
            table[f"{name} {kernel}"] = count_kernel(programs, kernel)
        tokens[kernel] = programs.step(kernel, "token")
    tokens[f"{kernels[0]}, under arith.bkp's overlay"] = programs.step(kernels[0], "token", ARITH)
    table[f"{name} token"] = tokens
    if name == "m4":
        small = build(name, scratch, f"-DBK_LUT_PANEL={SMALL_PANEL}")
        words = f"dsp, tables of {SMALL_PANEL} columns"
        table[f"{name} {words}"] = count_kernel(small, "dsp")
        tokens[words] = small.step("dsp", "token")
        tokens["dsp, the rest at -O2"] = build(name, scratch, optimise="-O2").step("dsp", "token")
    table[f"{name} switch of {ROWS} rows of 256"] = {
        **count_switch(programs, rows_patch(scratch)),
    }
    return table


def count() -> dict[str, object]:
    """The whole table as it stands in boards/counts/cortex_m.json."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        counts: dict[str, dict[str, float]] = {}
        for chip in cross.CHIPS:
            own = ("mve",) if chip == "m55" else ()
            counts |= count_chip(chip, (*own, "dsp", "scalar"), scratch)
    computed: dict[str, object] = {}
    for part in PARTS:
        instructions = counts[f"{part.chip} token"][part.kernel]
        computed[f"{part.name}, {part.mhz} MHz, {part.cycles} cycles per instruction"] = str(
            round(part.mhz * 1e6 / part.cycles / instructions)
        )
    return {
        "what": "instructions: gemv per 128 weights with quantising and tables, vectors per element"
        f" (attention: per position and dimension), tokens of the nano model at position {POSITION}"
        " of 48; tools/check/count_cortex_m.py",
        "compiler": qemu_count.compiler(cross.GCC),
        **counts,
        COMPUTED: {"assumed": WHY_CYCLES, **computed},
    }


if __name__ == "__main__":
    sys.exit(qemu_count.keep_table(__doc__, TABLE, count, cross, COMPUTED))
