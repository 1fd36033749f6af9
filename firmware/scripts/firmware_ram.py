"""Print what a firmware's RAM and flash are used for; the firmware's build calls this.

    python firmware/scripts/firmware_ram.py ELF

Sizes come from the linked program; those of KV cache and activations from the model's header by the
rules of cython_ext/core/model/bk_state.c for one token at a time. What the device itself says to
`bench` (memory, deepest stack) is held against these in tests/firmware/test_firmware_build.py.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOOL = "arm-none-eabi-"
LARGEST = 5  # static objects that are named
GROUP = 128
LOOK_UP = {"bk_kernel_dsp", "bk_kernel_mve"}  # kernels with tables, as bk_lut.h says:
TABLES = 16 * 256 * 2  # bytes for one group of 128 columns


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


def _round64(n: int) -> int:
    return (n + 63) & ~63


def cache_and_activations(header: bytes, ctx: int, tables: int) -> tuple[int, int]:
    """Bytes of the KV cache and of everything else that one token's pass needs.

    `tables`: bytes of look-up tables behind a quantised vector.
    """
    hidden, ffn = (
        model_number(header, "embedding_length"),
        model_number(header, "feed_forward_length"),
    )
    heads, kv_heads = (model_number(header, f"attention.head_count{s}") for s in ("", "_kv"))
    head_dim = model_number(header, "attention.key_length")
    q, kv = heads * head_dim, kv_heads * head_dim
    cache = 2 * _round64(model_number(header, "block_count") * ctx * kv * 2)
    floats = (hidden, max(hidden, q), max(hidden, q + 2 * kv), ffn, ffn, (ctx + 15) & ~15, head_dim)
    widest = max(hidden, ffn, q)
    act = _round64(widest + widest // GROUP * 8) + tables
    return cache, sum(_round64(4 * n) for n in floats) + act


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
    if header:
        ctx, panel = (program.symbols[f"bk_build_{name}"][0] for name in ("ctx", "panel"))
        tables = 64 + panel // GROUP * TABLES if LOOK_UP & program.symbols.keys() else 0
        cache, activations = cache_and_activations(header, ctx, tables)
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
