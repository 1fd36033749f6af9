"""Count the instructions of the Cortex-M kernels, of a token and of a switch, exactly, in QEMU.

    python tools/check/count_cortex_m.py            print the table
    python tools/check/count_cortex_m.py --write    and write it to boards/counts/cortex_m.json
    python tools/check/count_cortex_m.py --check    fail if one count rose by more than 2 %

A count is the difference between two runs of a bare program (tests/c/count_kernels.c and
count_model.c) that differ in nothing but how often the operation ran, so it repeats to the last
instruction on any host. It says nothing about time: tokens per second follow from the cycles per
instruction that PARTS assumes, and no part was at hand to check them.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cross_cortex_m as cross
from count_instructions import risen

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
class Counter:
    """The counted programs of one chip, and the plugin that counts."""

    chip: cross.Chip
    plugin: Path
    kernels: Path
    model: Path
    scratch: Path = field(repr=False)

    def executed(self, binary: Path, *arguments: str) -> int:
        """Instructions of one run of a whole program; raises RuntimeError if it fails."""
        log = self.scratch / "count"
        line = cross.command(self.chip, binary, *arguments)
        line[1:1] = ["-plugin", str(self.plugin), "-d", "plugin", "-D", str(log)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
        return int(log.read_text())

    def difference(self, binary: Path, *arguments: str) -> int:
        """Instructions of what ran once more."""
        once, never = ((*arguments, times) for times in ("1", "0"))
        return self.executed(binary, *once) - self.executed(binary, *never)

    def cost(self, kernel: str, operation: str, rows: int, cols: int) -> int:
        """Instructions of one operation of a kernel."""
        return self.difference(self.kernels, kernel, operation, str(rows), str(cols), "1")

    def step(self, kernel: str, operation: str, patch: Path | str = "-") -> int:
        """Instructions of one token or switch."""
        job = (str(NANO), kernel, operation, str(POSITION), str(patch))
        return self.difference(self.model, *job)


def build(name: str, scratch: Path, *flags: str, optimise: str = OPTIMISE) -> Counter:
    """Compile the counted programs for a chip, and the plugin that this QEMU accepts."""
    chip, out = cross.CHIPS[name], scratch / "-".join((name, optimise, *flags))
    out.mkdir()
    objects = cross.library(chip, out, optimise, *flags)
    tests = cross.ROOT / "tests" / "c"
    kernels, model = (
        cross.program(chip, tests / f"count_{what}.c", objects, out)
        for what in ("kernels", "model")
    )
    return Counter(chip, plugin(scratch), kernels, model, scratch)


@cache
def plugin(scratch: Path) -> Path:
    """The counter of instructions, for the first version of the interface that QEMU accepts."""
    source = Path(__file__).parent / "qemu_insn_count.c"
    for version in (1, 2):
        target = scratch / f"count{version}.so"
        subprocess.run(
            ["gcc", "-O2", "-shared", "-fPIC", f"-DAPI_VERSION={version}", str(source),
             "-o", str(target)],
            check=True,
        )  # fmt: skip
        probe = [cross.QEMU, "-M", "none", "-display", "none", "-plugin", str(target), "-S",
                 "-monitor", "stdio"]  # fmt: skip
        done = subprocess.run(probe, input="quit\n", capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            return target
    raise RuntimeError(f"this {cross.QEMU} accepts no plugin: {done.stderr}")


def count_kernel(counter: Counter, kernel: str) -> dict[str, float]:
    """Per 128 weights, with quantising and tables; vectors per element."""
    figures: dict[str, float] = {}
    for rows, cols in SHAPES:
        blocks = rows * cols // 128
        prepare = counter.cost(kernel, "quantise", rows, cols)
        whole = counter.cost(kernel, "gemv", rows, cols) + prepare
        figures[f"gemv {rows}x{cols}"] = round(whole / blocks, 2)
    figures["quantise 256"] = round(counter.cost(kernel, "quantise", 1, 256) / 256, 2)
    figures["rms_norm 256"] = round(counter.cost(kernel, "rms_norm", 1, 256) / 256, 2)
    figures["silu_mul 768"] = round(counter.cost(kernel, "silu_mul", 1, 768) / 768, 2)
    heads = counter.cost(kernel, "attend", POSITION + 1, 32)
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


def count_switch(counter: Counter, patch: Path) -> dict[str, int]:
    """Instructions of the ways to another active set."""
    names = {
        "select": "overlay, built before",
        "build": "building the overlay",
        "apply": "in place, from none, with CRC",
        "change": "in place, from another patch of as many, with CRC",
        "revert": "in place, to none",
    }
    return {words: counter.step("dsp", name, patch) for name, words in names.items()}


def count_chip(name: str, kernels: tuple[str, ...], scratch: Path) -> dict[str, dict[str, float]]:
    """All of one chip."""
    counter = build(name, scratch)
    table: dict[str, dict[str, float]] = {}
    tokens: dict[str, float] = {}
    for kernel in kernels:
        if kernels.index(kernel) == 0 or kernel == "scalar":
            table[f"{name} {kernel}"] = count_kernel(counter, kernel)
        tokens[kernel] = counter.step(kernel, "token")
    tokens[f"{kernels[0]}, under arith.bkp's overlay"] = counter.step(kernels[0], "token", ARITH)
    table[f"{name} token"] = tokens
    if name == "m4":
        small = build(name, scratch, f"-DBK_LUT_PANEL={SMALL_PANEL}")
        words = f"dsp, tables of {SMALL_PANEL} columns"
        table[f"{name} {words}"] = count_kernel(small, "dsp")
        tokens[words] = small.step("dsp", "token")
        tokens["dsp, the rest at -O2"] = build(name, scratch, optimise="-O2").step("dsp", "token")
    table[f"{name} switch of {ROWS} rows of 256"] = {
        **count_switch(counter, rows_patch(scratch)),
    }
    return table


@cache
def compiler() -> str:
    """The cross compiler's version; other versions count otherwise."""
    version = subprocess.check_output([cross.GCC, "-dumpfullversion"], text=True).strip()
    return f"gcc {version.rpartition('.')[0]}"


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
        "compiler": compiler(),
        **counts,
        COMPUTED: {"assumed": WHY_CYCLES, **computed},
    }


def main() -> int:
    """0: counted, or no count rose; 1: one rose; 2: cannot count here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help=f"write docs/{TABLE.name}")
    parser.add_argument("--check", action="store_true", help=f"compare with docs/{TABLE.name}")
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
    expected.pop(COMPUTED, None)  # where more is better
    problems = risen(table, expected)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
