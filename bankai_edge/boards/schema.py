"""What a board's file may say: read strictly, so that a typing error is a sentence and not a guess.

`kind` decides what must be there: a `linux` board and a `microcontroller` have a CPU, memory and a
status; a `serial` one is a USB port behind which any board may be.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from bankai_edge.errors import BankaiError

Kind = Literal["linux", "microcontroller", "serial"]
Architecture = Literal[
    "aarch64", "x86-64", "armv6-m", "armv7e-m", "armv8-m", "armv8.1-m", "xtensa"
]  # fmt: skip
Weights = Literal["ram", "flash"]
T = TypeVar("T")


@dataclass(frozen=True)
class Cpu:
    """The processor; `kernel` is the one that is expected to be the fastest there.

    `mhz` is 0 where boards of this kind differ. `ipc` is how many instructions a cycle the expected
    speeds assume (0: none are computed), `ipc_from` why that many.
    """

    name: str
    architecture: Architecture
    features: tuple[str, ...]
    cores: int
    mhz: int
    kernel: str
    ipc: float
    ipc_from: str
    lookup_columns: int  # of which the kernel's tables lie in RAM at a time; 0: its default


@dataclass(frozen=True)
class Memory:
    """Bytes. `ram` are the sizes that the board is sold with, ascending; `reserved` is what the
    operating system, its firmware or our own program takes of it before any model."""

    ram: tuple[int, ...]
    reserved: int
    reserved_for: str
    flash: int  # 0: weights do not stay in flash
    program: int  # of the flash, ours
    weights: Weights


@dataclass(frozen=True)
class Bandwidth:
    """Published measurements of reading memory: bytes per second by number of threads."""

    by_threads: tuple[tuple[int, float], ...]
    what: str
    source: str

    def threads_at(self, threads: int) -> int:
        """The measured number of threads that is nearest to `threads` and not above, if any is."""
        counts = [n for n, _ in self.by_threads]
        return max((n for n in counts if n <= threads), default=counts[0])

    def at(self, threads: int) -> float:
        """Bytes per second with about so many threads (see `threads_at`)."""
        return dict(self.by_threads)[self.threads_at(threads)]


@dataclass(frozen=True)
class Uart:
    """Serial ports that the agent can serve, and how to free them from a console."""

    devices: tuple[str, ...]
    pins: str
    config_txt: tuple[str, ...]
    cmdline_remove: tuple[str, ...]
    disable_services: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Qemu:
    """How to emulate the board; QEMU's words."""

    program: str
    machine: str
    cpu: str


@dataclass(frozen=True)
class Image:
    """What an SD card image is made of: Debian's package names, file names in them.

    `uart` is the agent's line, `console` the kernel's.
    """

    kernel: str
    firmware_package: str
    firmware: tuple[str, ...]
    device_trees: tuple[str, ...]
    uart: str
    console: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """What stands behind this file: nothing is claimed that is in none of the four."""

    measured: tuple[str, ...]
    emulated: tuple[str, ...]
    computed: tuple[str, ...]
    untested: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """One board. `usb` holds (vendor id, product id) pairs; `compatible` device-tree names."""

    id: str
    name: str
    kind: Kind
    usb: tuple[tuple[int, int], ...] = ()
    compatible: tuple[str, ...] = ()
    note: str = ""
    cpu: Cpu | None = None
    memory: Memory | None = None
    bandwidth: Bandwidth | None = None
    uart: Uart | None = None
    qemu: Qemu | None = None
    image: Image | None = None
    status: Status | None = None


_SIZE = "a text as 512 KiB, 64 MiB or 8 GiB"


def _bytes(text: object) -> int | None:
    found = re.fullmatch(r"([1-9]\d*) ([KMG])iB", text) if isinstance(text, str) else None
    return int(found[1]) << {"K": 10, "M": 20, "G": 30}[found[2]] if found else None


class _Table:
    """One table of a file; remembers which keys were asked for, so that others are refused."""

    def __init__(self, where: str, fields: Mapping[str, Any]) -> None:
        self.where, self.fields, self.asked = where, fields, set[str]()

    def _wrong(self, key: str, expected: str) -> BankaiError:
        value = self.fields.get(key)
        found = f"is {value!r}" if key in self.fields else "is missing"
        return BankaiError(f"{self.where}{key} {found}", expected=expected)

    def _get(
        self, key: str, expected: str, good: Callable[[Any], bool], default: T | None
    ) -> Any | T:
        self.asked.add(key)
        if key not in self.fields and default is not None:
            return default
        if not good(self.fields.get(key)):
            raise self._wrong(key, expected)
        return self.fields[key]

    def text(self, key: str, default: str | None = None) -> str:
        return cast(
            str, self._get(key, "a text", lambda v: isinstance(v, str) and v != "", default)
        )

    def choice(self, key: str, kind: Any, default: str | None = None) -> Any:
        names = get_args(kind)
        return self._get(key, f"one of {', '.join(names)}", lambda v: v in names, default)

    def count(self, key: str, default: int | None = None) -> int:
        def good(v: Any) -> bool:
            return type(v) is int and v > 0

        return cast(int, self._get(key, "a whole number above 0", good, default))

    def texts(self, key: str, *, needed: bool = False) -> tuple[str, ...]:
        def good(v: Any) -> bool:
            return isinstance(v, list) and all(isinstance(x, str) and x for x in v)

        return tuple(self._get(key, "a list of texts", good, None if needed else ()))

    def number(self, key: str, default: float | None = None) -> float:
        def good(v: Any) -> bool:
            return type(v) in (int, float) and v > 0

        return cast(float, self._get(key, "a number above 0", good, default))

    def numbers(self, key: str) -> tuple[float, ...]:
        def good(v: Any) -> bool:
            return isinstance(v, list) and v != [] and all(type(x) in (int, float) for x in v)

        found = tuple(self._get(key, "a list of numbers above 0", good, None))
        if any(x <= 0 for x in found):
            raise self._wrong(key, "a list of numbers above 0")
        return found

    def size(self, key: str, default: int | None = None) -> int:
        """Bytes, from a text as "512 KiB"."""
        text = self._get(key, _SIZE, lambda v: _bytes(v) is not None, default)
        return text if isinstance(text, int) else _bytes(text) or 0

    def sizes(self, key: str) -> tuple[int, ...]:
        texts = self.texts(key, needed=True)
        found = [_bytes(text) or 0 for text in texts]
        if not found or 0 in found or found != sorted(set(found)):
            raise self._wrong(key, f"sizes, ascending, each {_SIZE}")
        return tuple(found)

    def ascending(self, key: str) -> tuple[int, ...]:
        found = self.numbers(key)
        if any(type(x) is not int for x in found) or list(found) != sorted(set(found)):
            raise self._wrong(key, "whole numbers, ascending")
        return tuple(int(x) for x in found)

    def table(self, key: str, read: Callable[[_Table], T], *, needed: bool = False) -> T | None:
        self.asked.add(key)
        if key not in self.fields and not needed:
            return None
        if not isinstance(self.fields.get(key), dict):
            raise self._wrong(key, f"a table [{key}]")
        inner = _Table(f"{self.where}{key}.", self.fields[key])
        found = read(inner)
        inner.finish()
        return found

    def finish(self) -> None:
        for key in self.fields:
            if key not in self.asked:
                raise BankaiError(
                    f"{self.where}{key} is not known", expected=f"one of {', '.join(self.asked)}"
                )


def _cpu(t: _Table) -> Cpu:
    return Cpu(
        t.text("name"), t.choice("architecture", Architecture), t.texts("features"),
        t.count("cores"), t.count("mhz", 0), t.text("kernel"),
        t.number("ipc", 0.0), t.text("ipc_from", ""), t.count("lookup_columns", 0),
    )  # fmt: skip


def _memory(t: _Table) -> Memory:
    return Memory(
        ram=t.sizes("ram"),
        reserved=t.size("reserved"),
        reserved_for=t.text("reserved_for"),
        flash=t.size("flash", 0),
        program=t.size("program", 0),
        weights=t.choice("weights", Weights, "ram"),
    )


def _bandwidth(t: _Table) -> Bandwidth:
    threads, speeds = t.ascending("threads"), t.numbers("gb_per_s")
    if len(threads) != len(speeds):
        raise BankaiError(
            f"{t.where}gb_per_s has {len(speeds)} numbers",
            expected=f"one for each of the {len(threads)} in threads",
        )
    by_threads = tuple((n, speed * 1e9) for n, speed in zip(threads, speeds, strict=True))
    return Bandwidth(by_threads, t.text("what"), t.text("source"))


def _uart(t: _Table) -> Uart:
    return Uart(
        t.texts("devices", needed=True), t.text("pins", ""), t.texts("config_txt"),
        t.texts("cmdline_remove"), t.texts("disable_services"), t.text("note", ""),
    )  # fmt: skip


def _qemu(t: _Table) -> Qemu:
    return Qemu(t.text("program"), t.text("machine"), t.text("cpu", ""))


def _image(t: _Table) -> Image:
    return Image(
        t.text("kernel"), t.text("firmware_package", ""), t.texts("firmware"),
        t.texts("device_trees"), t.text("uart"), t.texts("console", needed=True),
    )  # fmt: skip


def _status(t: _Table) -> Status:
    return Status(t.texts("measured"), t.texts("emulated"), t.texts("computed"),
                  t.texts("untested"))  # fmt: skip


def _usb_id(where: str, text: str) -> tuple[int, int]:
    vendor, _, product = text.partition(":")
    try:
        if len(vendor) == len(product) == 4:
            return int(vendor, 16), int(product, 16)
    except ValueError:
        pass
    raise BankaiError(f"{where}usb: {text!r} is no USB id", expected="hex digits as in 2e8a:000a")


def load_board(path: Path) -> Board:
    """Read one board's file.

    Raises:
        BankaiError: it is no TOML, or says what no board's file may say; names the key.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BankaiError(f"{path}: {error}", expected="a board's file in TOML") from error
    t = _Table(f"{path.name}: ", fields)
    kind: Kind = t.choice("kind", Kind)
    whole = kind != "serial"
    board = Board(
        id=path.stem,
        name=t.text("name"),
        kind=kind,
        usb=tuple(_usb_id(t.where, text) for text in t.texts("usb")),
        compatible=t.texts("compatible"),
        note=t.text("note", ""),
        cpu=t.table("cpu", _cpu, needed=whole),
        memory=t.table("memory", _memory, needed=whole),
        bandwidth=t.table("bandwidth", _bandwidth),
        uart=t.table("uart", _uart),
        qemu=t.table("qemu", _qemu),
        image=t.table("image", _image),
        status=t.table("status", _status, needed=whole),
    )
    t.finish()
    if board.memory and board.memory.weights == "flash" and not board.memory.flash:
        raise BankaiError(f"{t.where}memory.flash is missing", expected="it: weights = flash")
    return board
