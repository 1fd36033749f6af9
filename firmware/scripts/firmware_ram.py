"""Print what a firmware's RAM and flash are used for; the firmware's build calls this.

    python firmware/scripts/firmware_ram.py ELF

Sizes come from the linked program; those of KV cache and activations are the core's own plan for
the model's shape, where PlatformIO's Python has bankai-edge to ask. What the device itself says to
`bench` (memory, deepest stack) is held against these in tests/firmware/test_firmware_build.py.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

try:
    from bankai_edge import _facts
except ImportError:  # then the memory is told as a whole
    _facts = None  # type: ignore[assignment]

TOOL = "arm-none-eabi-"
LARGEST = 5  # static objects that are named
KERNELS = ("dsp", "mve", "scalar")


@dataclass(frozen=True)
class Program:
    """Names with address and size, and sections with size and address, of an ELF."""

    symbols: dict[str, tuple[int, int]]
    statics: list[tuple[int, str]]  # largest first: bytes and name
    sections: dict[str, tuple[int, int]]

    def span(self, name: str) -> int:
        """Bytes between the linker script's `name` and `name`_end."""
        return self.symbols[f"{name}_end"][0] - self.symbols[name][0]

    def size(self, *names: str) -> int:
        """Bytes of these sections together."""
        return sum(self.sections.get(name, (0, 0))[0] for name in names)


def read_program(elf: Path) -> Program:
    """What nm and size say; raises CalledProcessError if it is no ELF."""
    symbols, statics = {}, []
    for line in _lines(f"{TOOL}nm", "-S", str(elf)):
        words = line.split()
        if len(words) == 4:
            symbols[words[3]] = (int(words[0], 16), int(words[1], 16))
            if words[2] in "bBdD":
                statics.append((int(words[1], 16), words[3].split(".")[0]))
        elif len(words) == 3:
            symbols[words[2]] = (int(words[0], 16), 0)
    sections = {}
    for line in _lines(f"{TOOL}size", "-A", "-d", str(elf)):
        words = line.split()
        if len(words) == 3 and words[0].startswith("."):
            sections[words[0]] = (int(words[1]), int(words[2]))
    return Program(symbols, sorted(statics, reverse=True), sections)


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def model_header(elf: Path) -> bytes:
    """The first bytes of the model that is linked into a program; empty if there is none."""
    data = elf.read_bytes()
    at = data.find(b"GGUF\x03\0\0\0")
    return data[at : at + 65536] if at >= 0 else b""


def model_number(header: bytes, key: str) -> int:
    """An unsigned number of the GGUF's header."""
    name = b"qwen3." + key.encode() + (4).to_bytes(4, "little")  # 4: the value is a u32
    at = header.index(name) + len(name)
    return int.from_bytes(header[at : at + 4], "little")


COUNTS = ("block_count", "embedding_length", "feed_forward_length", "attention.head_count",
          "attention.head_count_kv", "attention.key_length")  # fmt: skip


def plan(elf: Path) -> list[tuple[str, int]]:
    """Lines of the plan: what, and bytes; indented ones are part of the one above.

    Raises KeyError for a program that firmware/build.py has not linked.
    """
    program = read_program(elf)
    stack = program.size(".stack")
    static = program.size(".data", ".bss")
    memory = program.span("bk_link_memory")
    rows = [("stack", stack), ("static data", static)]
    rows += [(f"  {name}", size) for size, name in program.statics[:LARGEST]]
    rows.append(("memory", memory))
    header = model_header(elf)
    if header and _facts is not None:
        ctx, panel = (program.symbols[f"bk_build_{name}"][0] for name in ("ctx", "panel"))
        kernel = next(k for k in KERNELS if f"bk_kernel_{k}" in program.symbols)
        counts = (*(model_number(header, key) for key in COUNTS), 0)  # logits are told as a whole
        planned = _facts.memory_plan(counts, kernel, ctx, panel=panel)
        cache, activations = planned["cache"], planned["state"] - planned["cache"]
        rows += [
            (f"  KV cache of {ctx} tokens", cache),
            ("  activations", activations),
            ("  tokenizer, logits, texts, overlay", memory - cache - activations),
        ]
    rows.append(("weights, in RAM" if program.symbols["bk_link_model_copy"][0] else
                 "weights, in place", program.size(".model")))  # fmt: skip
    rows.append(("code and constants", program.size(".vectors", ".text", ".rodata", ".data")))
    return rows


def main(arguments: list[str]) -> int:
    """Print the plan; exit codes 0 done, 1 no firmware there, 2 usage."""
    if len(arguments) != 1:
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    try:
        rows = plan(Path(arguments[0]))
    except (OSError, KeyError, subprocess.CalledProcessError) as error:
        print(f"{arguments[0]} is not a linked firmware ({error})", file=sys.stderr)
        return 1
    for name, size in rows:
        print(f"{name:38}{size:>11,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
