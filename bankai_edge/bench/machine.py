"""What a measurement depends on and cannot change: the CPU, its clock and heat, memory in use."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path("/")
# bit -> meaning of the Raspberry Pi firmware's get_throttled
_PI_THROTTLED = {
    0: "under-voltage now",
    1: "clock capped now",
    2: "throttled now",
    3: "at its soft temperature limit now",
    16: "there was under-voltage",
    17: "the clock was capped",
    18: "it was throttled",
    19: "the soft temperature limit was reached",
}


@dataclass(frozen=True)
class Machine:
    """One machine; `None` is what its system does not tell, and `notes` says so in words."""

    cpu: str
    cores: int
    memory_bytes: int | None
    governor: str | None
    mhz: float | None
    mhz_max: float | None
    celsius: float | None
    load: float
    notes: list[str] = field(default_factory=list)


def _text(root: Path, path: str) -> str | None:
    try:
        return (root / path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None


def _number(root: Path, path: str, scale: float) -> float | None:
    text = _text(root, path)
    try:
        return None if text is None else float(text) * scale
    except ValueError:
        return None


def _cpu_name(root: Path) -> str:
    """The board or the CPU by name; its architecture where neither is told."""
    if board := _text(root, "proc/device-tree/model"):
        return board
    for line in (_text(root, "proc/cpuinfo") or "").splitlines():
        if line.lower().startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _meminfo(root: Path, key: str) -> int | None:
    for line in (_text(root, "proc/meminfo") or "").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None


def available_bytes(root: Path = ROOT) -> int:
    """Memory that can be had without swapping; 512 MiB where the system does not tell."""
    return _meminfo(root, "MemAvailable") or 512 << 20


def throttle_marks(root: Path = ROOT) -> dict[str, int]:
    """Counters and flags of throttling, by name; compare two looks to see what happened between."""
    marks = {}
    for path in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*count")):
        value = _text(root, str(path.relative_to(root)))
        if value is not None and value.isdigit():
            marks[f"{path.parent.parent.name} {path.name}"] = int(value)
    for path in (root / "sys/devices/platform").glob("soc*/*firmware/get_throttled"):
        if flags := _text(root, str(path.relative_to(root))):
            marks["get_throttled"] = int(flags, 16)
    return marks


def throttle_notes(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """What two looks at `throttle_marks` mean, a sentence each."""
    if not after:
        return ["throttling: this system tells nothing of it"]
    flags = after.get("get_throttled", 0)
    found = [f"Raspberry Pi: {text}" for bit, text in _PI_THROTTLED.items() if flags >> bit & 1]
    for name, count in after.items():
        if name != "get_throttled" and count > before.get(name, 0):
            found.append(f"throttled while measuring: {name} rose by {count - before.get(name, 0)}")
    return found or ["throttling: none seen"]


def machine(root: Path = ROOT) -> Machine:
    """This machine, as /proc and /sys under `root` describe it."""
    cpufreq = "sys/devices/system/cpu/cpu0/cpufreq"
    governor = _text(root, f"{cpufreq}/scaling_governor")
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    notes = []
    if governor is None:
        notes.append("governor: this system has no cpufreq; the clock is not ours to see")
    elif governor != "performance":
        notes.append(f"governor is {governor}; figures are steadier under performance")
    if load > 0.5:
        notes.append(f"load was {load:.1f} when measuring began: other programs take their share")
    return Machine(
        cpu=_cpu_name(root),
        cores=cores,
        memory_bytes=_meminfo(root, "MemTotal"),
        governor=governor,
        mhz=_number(root, f"{cpufreq}/scaling_cur_freq", 1e-3),
        mhz_max=_number(root, f"{cpufreq}/cpuinfo_max_freq", 1e-3),
        celsius=_number(root, "sys/class/thermal/thermal_zone0/temp", 1e-3),
        load=load,
        notes=notes,
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
    for line in (_text(root, "proc/self/status") or "").splitlines():
        if line.startswith("VmRSS:"):
            resident = int(line.split()[1]) * 1024
    return Memory(resident, packed_bytes + _mapped(model_file.resolve(), root))


def _mapped(file: Path, root: Path) -> int:
    """Resident bytes of the mappings of one file."""
    total, ours = 0, False
    for line in (_text(root, "proc/self/smaps") or "").splitlines():
        first = line.split(maxsplit=1)[0]
        if not first.endswith(":"):  # a mapping's own line: range, rights, offset, device, path
            ours = line.endswith(f" {file}")
        elif ours and first == "Rss:":
            total += int(line.split()[1]) * 1024
    return total
