"""How instructions are counted: QEMU with a plugin, a committed table, and a check against it.

A count is the difference between two runs of a program that differ in nothing but how often an
operation ran, so it repeats to the last instruction on any host. It says nothing about time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from bankai_edge._facts import GROUP

TOLERANCE = 1.02


@dataclass(frozen=True)
class Counter:
    """The plugin that counts, and a folder for its log."""

    plugin: Path
    scratch: Path

    def executed(self, line: list[str]) -> int:
        """Instructions of one run of a QEMU's command line; raises RuntimeError if it fails."""
        log = self.scratch / "count"
        own = ["-plugin", str(self.plugin), "-d", "plugin", "-D", str(log)]
        # In an empty environment, which a program under user mode would have on its stack.
        done = subprocess.run([line[0], *own, *line[1:]], capture_output=True, text=True, env={},
                              input="quit\n", timeout=600)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(line)}: exit {done.returncode}: {done.stderr}")
        return int(log.read_text() or 0)

    def difference(self, line: Callable[[str], list[str]]) -> int:
        """Instructions of what ran once more: `line` makes the command of a number of times."""
        return self.executed(line("1")) - self.executed(line("0"))


@cache
def counter(scratch: Path, *probe: str) -> Counter:
    """One with the first version of the plugin that the probe, a QEMU's command line, accepts."""
    source = Path(__file__).parent / "qemu_insn_count.c"
    for version in (1, 2):
        found = Counter(scratch / f"count{version}.so", scratch)
        subprocess.run(
            ["gcc", "-O2", "-shared", "-fPIC", f"-DAPI_VERSION={version}", str(source),
             "-o", str(found.plugin)],
            check=True,
        )  # fmt: skip
        try:
            found.executed(list(probe))
        except (RuntimeError, OSError, ValueError) as problem:
            why = problem
            continue
        return found
    raise RuntimeError(f"this {probe[0]} accepts no plugin: {why}")


@cache
def compiler(gcc: str) -> str:
    """A cross compiler's name and version; other versions count otherwise."""
    version = subprocess.check_output([gcc, "-dumpfullversion"], text=True).strip()
    return f"gcc {version.rpartition('.')[0]}"


def gemv(
    cost: Callable[[str, str, int, int], int], kernel: str, rows: int, cols: int
) -> tuple[float, float]:
    """Instructions of a product per 128 weights, and of them quantising and tables."""
    blocks = rows * cols // GROUP
    prepare = cost(kernel, "quantise", rows, cols)
    whole = cost(kernel, "gemv", rows, cols) + prepare
    return round(whole / blocks, 2), round(prepare / blocks, 2)


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


def keep_table(
    doc: str | None,
    path: Path,
    count: Callable[[], dict[str, object]],
    cross: ModuleType,
    not_counted: str = "",
) -> int:
    """A program that prints, writes or checks a table; `cross` compiles for it.

    0: counted, or no count rose; 1: one rose; 2: cannot count here.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write boards/counts/{path.name}")
    parser.add_argument(
        "--check", action="store_true", help=f"compare with boards/counts/{path.name}"
    )
    args = parser.parse_args()
    tool = cross.missing_tool()
    if tool:
        print(f"{tool} is not installed (apt-get install {cross.PACKAGES})", file=sys.stderr)
        return 2
    expected = json.loads(path.read_text()) if args.check else {}
    here = compiler(cross.GCC)
    if args.check and expected["compiler"] != here:
        print(f"The table was made with {expected['compiler']}; this is {here}, which counts "
              "otherwise: install that one, or write a new table.", file=sys.stderr)  # fmt: skip
        return 2
    table = count()
    print(json.dumps(table, indent=1))
    if args.write:
        path.write_text(json.dumps(table, indent=1) + "\n")
    expected.pop(not_counted, None)
    problems = risen(table, expected)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0
