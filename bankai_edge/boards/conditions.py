"""Which board this machine is, and what slows it down just now: /proc and /sys under any root.

Reads files only, a few kilobytes, so that an agent may ask at every `info`.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from platform import machine as architecture

from bankai_edge.boards import boards
from bankai_edge.boards.schema import Board

ROOT = Path("/")
HOT_CELSIUS = 80.0  # from here the Raspberry Pis' firmware lowers the clock
SWAP_BYTES = 16 << 20  # less than this is what a system put away once and forgot
CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"
# bit -> meaning of the Raspberry Pi firmware's get_throttled
PI_THROTTLED = {
    0: "under-voltage now",
    1: "clock capped now",
    2: "throttled now",
    3: "at its soft temperature limit now",
    16: "there was under-voltage",
    17: "the clock was capped",
    18: "it was throttled",
    19: "the soft temperature limit was reached",
}
# "CPU part" of Arm's cores with dot-product instructions, as /proc/cpuinfo prints it (hexadecimal)
DOT_PRODUCT_PARTS = {
    "0xd05": "Cortex-A55", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse N1",
    "0xd0d": "Cortex-A77", "0xd41": "Cortex-A78", "0xd44": "Cortex-X1", "0xd40": "Neoverse V1",
    "0xd46": "Cortex-A510", "0xd47": "Cortex-A710", "0xd48": "Cortex-X2", "0xd49": "Neoverse N2",
}  # fmt: skip


def text(root: Path, path: str) -> str | None:
    """A file's text without its end; None where it is absent or unreadable."""
    try:
        return (root / path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None


def number(root: Path, path: str, scale: float = 1.0) -> float | None:
    """A file's number times `scale`; None where there is none."""
    found = text(root, path)
    try:
        return None if found is None else float(found) * scale
    except ValueError:
        return None


def meminfo(root: Path, key: str) -> int | None:
    """Bytes of one line of /proc/meminfo."""
    for line in (text(root, "proc/meminfo") or "").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None


def device_tree(root: Path, name: str) -> str | None:
    """A property of the device tree's root; NULs stand between its texts."""
    return text(root, f"proc/device-tree/{name}") or text(
        root, f"sys/firmware/devicetree/base/{name}"
    )


def recognise(root: Path = ROOT, *, cpu: str | None = None) -> Board | None:
    """The board that this machine is: by its device tree, else the generic one of its CPU.

    `cpu` is the architecture in the kernel's words, by default this machine's.
    """
    by_name = {name: board for board in boards() for name in board.compatible}
    for name in (device_tree(root, "compatible") or "").split("\0"):
        if name in by_name:
            return by_name[name]
    generic = {"aarch64": "aarch64", "arm64": "aarch64", "x86_64": "x86-64"}.get(
        cpu or architecture()
    )
    return next((board for board in boards() if board.id == generic), None)


# ---- throttling ----------------------------------------------------------------------------------


def throttle_marks(root: Path = ROOT) -> dict[str, int]:
    """Counters and flags of throttling, by name; compare two looks to see what happened between."""
    marks = {}
    for path in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*count")):
        value = text(root, str(path.relative_to(root)))
        if value is not None and value.isdigit():
            marks[f"{path.parent.parent.name} {path.name}"] = int(value)
    flags = pi_throttled(root)
    if flags is not None:
        marks["get_throttled"] = flags
    return marks


def pi_throttled(root: Path = ROOT, vcgencmd: str | None = None) -> int | None:
    """The Raspberry Pi firmware's get_throttled; None where nobody tells.

    From the vendor's kernel; from the upstream one's voltage sensor (bit 0 alone); or from the
    vendor's program `vcgencmd`, where its path is given.
    """
    for path in (root / "sys/devices/platform").glob("soc*/*firmware/get_throttled"):
        if flags := text(root, str(path.relative_to(root))):
            return int(flags, 16)
    if vcgencmd:
        done = subprocess.run(
            [vcgencmd, "get_throttled"], capture_output=True, text=True, timeout=5, check=False
        )
        _, equals, flags = done.stdout.strip().partition("=")
        if equals and done.returncode == 0:
            return int(flags, 16)
    for path in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if text(path, "name") == "rpi_volt":
            alarm = text(path, "in0_lcrit_alarm")
            return int(alarm) if alarm in ("0", "1") else None
    return None


def find_vcgencmd() -> str | None:
    """The vendor's program, where it is installed."""
    return shutil.which("vcgencmd")


# ---- what slows a machine ------------------------------------------------------------------------


@dataclass(frozen=True)
class Conditions:
    """A look at the machine; `None` is what its system does not tell. MHz, °C, bytes."""

    board: str | None
    model: str | None
    governor: str | None
    mhz: float | None
    mhz_max: float | None
    celsius: float | None
    throttled: int | None
    swap_used: int | None
    userland_bits: int
    kernel: str | None
    warnings: list[str] = field(default_factory=list)


def conditions(
    root: Path = ROOT,
    *,
    kernel: str | None = None,
    userland_bits: int | None = None,
    vcgencmd: str | None = None,
    cpu: str | None = None,
) -> Conditions:
    """Look at this machine now, and say what slows it.

    `kernel` is the engine's kernel in use. `userland_bits`, `cpu` (architecture) and `vcgencmd`
    (path of the vendor's program, not run by default) are told by tests.
    """
    board = recognise(root, cpu=cpu)
    swap = (meminfo(root, "SwapTotal") or 0) - (meminfo(root, "SwapFree") or 0)
    found = Conditions(
        board=board.id if board else None,
        model=device_tree(root, "model"),
        governor=text(root, f"{CPUFREQ}/scaling_governor"),
        mhz=number(root, f"{CPUFREQ}/scaling_cur_freq", 1e-3),
        mhz_max=number(root, f"{CPUFREQ}/cpuinfo_max_freq", 1e-3),
        celsius=number(root, "sys/class/thermal/thermal_zone0/temp", 1e-3),
        throttled=pi_throttled(root, vcgencmd),
        swap_used=swap if meminfo(root, "SwapTotal") is not None else None,
        userland_bits=userland_bits or struct.calcsize("P") * 8,
        kernel=kernel,
    )
    found.warnings.extend(
        [*_slow_clock(root, found), *_slow_memory(found), *_slow_code(root, found, cpu)]
    )
    return found


def fitting(sentences: list[str], room_bytes: int = 320) -> list[str]:
    """As many whole sentences as an answer on the wire has room for, the first ones first."""
    chosen = []
    for sentence in sentences:
        needed = len(sentence.encode()) + 3  # CBOR's own head
        if needed <= room_bytes:
            chosen.append(sentence)
            room_bytes -= needed
    return chosen


def _slow_clock(root: Path, now: Conditions) -> list[str]:
    said = []
    if now.governor == "powersave":
        said.append(
            "governor powersave keeps the clock at its lowest: write performance or ondemand to "
            "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        )
    limit = number(root, f"{CPUFREQ}/scaling_max_freq", 1e-3)
    if limit and now.mhz_max and limit < now.mhz_max:
        said.append(f"the clock is limited to {limit:.0f} of {now.mhz_max:.0f} MHz")
    for bit, meaning in PI_THROTTLED.items():
        if (now.throttled or 0) >> bit & 1:
            advice = {0: "a supply of 5.1 V and 3 A or more, and a short cable, help",
                      16: "check supply and cable", 3: "cool it", 19: "cool it"}  # fmt: skip
            remedy = f": {advice[bit]}" if bit in advice else ""
            said.append(f"Raspberry Pi: {meaning}{remedy}")
    if now.celsius is not None and now.celsius >= HOT_CELSIUS:
        said.append(
            f"{now.celsius:.0f} °C: the clock is lowered from {HOT_CELSIUS:.0f} °C; cool it"
        )
    return said


def _slow_memory(now: Conditions) -> list[str]:
    if now.swap_used is None or now.swap_used < SWAP_BYTES:
        return []
    return [
        f"{now.swap_used >> 20} MiB of swap in use: weights on a card are read a thousand times "
        "slower; choose a smaller model or context (bankai-edge boards show)"
    ]


def _slow_code(root: Path, now: Conditions, cpu: str | None) -> list[str]:
    said = []
    arm = (cpu or architecture()) in ("aarch64", "arm64", "armv7l", "armv8l", "armv6l")
    if now.userland_bits == 32:
        said.append("a 32-bit userland has the scalar kernel only: install a 64-bit system")
    elif now.kernel == "scalar":
        said.append("the scalar kernel is in use: unset BANKAI_KERNEL, or install another build")
    features, part = _cpuinfo(root)
    if arm and part in DOT_PRODUCT_PARTS and features and "asimddp" not in features:
        said.append(
            f"a {DOT_PRODUCT_PARTS[part]} has dot-product instructions, and this system hides them "
            "(asimddp): update its kernel or its virtual machine"
        )
    return said


def _cpuinfo(root: Path) -> tuple[list[str], str | None]:
    """Features and part number of the first core that /proc/cpuinfo lists."""
    features: list[str] = []
    for line in (text(root, "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Features" and not features:
            features = value.split()
        elif key.strip() == "CPU part":
            return features, value.strip()
    return features, None
