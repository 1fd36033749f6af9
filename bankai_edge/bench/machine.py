"""What a measurement depends on and cannot change: the CPU, its clock and heat, memory in use."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from bankai_edge.boards.conditions import (
    PI_THROTTLED,
    ROOT,
    conditions,
    device_tree,
    meminfo,
    text,
    throttle_marks,
)

__all__ = ["Machine", "Memory", "available_bytes", "machine", "memory", "throttle_marks",
           "throttle_notes"]  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """One machine; `None` is what its system does not tell, and `notes` says so in words.

    `board` is the id of a known board, `warnings` what slows the machine at this moment.
    """

    cpu: str
    cores: int
    memory_bytes: int | None
    governor: str | None
    mhz: float | None
    mhz_max: float | None
    celsius: float | None
    load: float
    notes: list[str] = field(default_factory=list)
    board: str | None = None
    swap_used: int | None = None
    warnings: list[str] = field(default_factory=list)


def _cpu_name(root: Path) -> str:
    """The board or the CPU by name; its architecture where neither is told."""
    if board := device_tree(root, "model"):
        return board
    for line in (text(root, "proc/cpuinfo") or "").splitlines():
        if line.lower().startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def available_bytes(root: Path = ROOT) -> int:
    """Memory that can be had without swapping; 512 MiB where the system does not tell."""
    return meminfo(root, "MemAvailable") or 512 << 20


def throttle_notes(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """What two looks at `throttle_marks` mean, a sentence each."""
    if not after:
        return ["throttling: this system tells nothing of it"]
    flags = after.get("get_throttled", 0)
    found = [
        f"Raspberry Pi: {meaning}" for bit, meaning in PI_THROTTLED.items() if flags >> bit & 1
    ]
    for name, count in after.items():
        if name != "get_throttled" and count > before.get(name, 0):
            found.append(f"throttled while measuring: {name} rose by {count - before.get(name, 0)}")
    return found or ["throttling: none seen"]


def machine(
    root: Path = ROOT, *, kernel: str | None = None, vcgencmd: str | None = None
) -> Machine:
    """This machine now, as /proc and /sys under `root` describe it.

    `kernel` and `vcgencmd` as in `boards.conditions.conditions`.
    """
    now = conditions(root, kernel=kernel, vcgencmd=vcgencmd)
    load = os.getloadavg()[0]
    notes = []
    if now.governor is None:
        notes.append("governor: this system has no cpufreq; the clock is not ours to see")
    elif now.governor not in ("performance", "powersave"):  # of powersave a warning is given
        notes.append(f"governor is {now.governor}; figures are steadier under performance")
    if load > 0.5:
        notes.append(f"load was {load:.1f} when measuring began: other programs take their share")
    return Machine(
        cpu=_cpu_name(root),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=meminfo(root, "MemTotal"),
        governor=now.governor,
        mhz=now.mhz,
        mhz_max=now.mhz_max,
        celsius=now.celsius,
        load=load,
        notes=notes,
        board=now.board,
        swap_used=now.swap_used,
        warnings=now.warnings,
    )


@dataclass(frozen=True)
class Memory:
    """Resident bytes of this process; `weights` are those that hold the model's matrices."""

    resident: int
    weights: int

    @property
    def over_weights(self) -> int:
        """All that is not weights: KV cache, activations, tokenizer, interpreter."""
        return self.resident - self.weights


def memory(packed_bytes: int, model_file: Path, root: Path = ROOT) -> Memory:
    """Resident memory now: the packed weights, and what of the model's file is mapped in."""
    resident = 0
    for line in (text(root, "proc/self/status") or "").splitlines():
        if line.startswith("VmRSS:"):
            resident = int(line.split()[1]) * 1024
    return Memory(resident, packed_bytes + _mapped(model_file.resolve(), root))


def _mapped(file: Path, root: Path) -> int:
    """Resident bytes of the mappings of one file."""
    total, ours = 0, False
    for line in (text(root, "proc/self/smaps") or "").splitlines():
        first = line.split(maxsplit=1)[0]
        if not first.endswith(":"):  # a mapping's own line: range, rights, offset, device, path
            ours = line.endswith(f" {file}")
        elif ours and first == "Rss:":
            total += int(line.split()[1]) * 1024
    return total
