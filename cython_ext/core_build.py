"""What the C sources are and how they are compiled, for every build that is not Meson's.

The lists are Meson's own: the meson.build files of core/, linux/ and kernels/*/ hold only literals,
which are Python as much as Meson. As a program:

    core_build.py zcbor     where zcbor is
    core_build.py all       arguments of a compiler that compile the core for a program
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def lists(folder: Path) -> dict[str, Any]:
    """The values that a folder's meson.build assigns."""
    path = folder / "meson.build"
    values: dict[str, Any] = {"files": lambda *names: [folder / name for name in names]}
    exec(compile(path.read_text(), str(path), "exec"), values)
    return values


def find(name: str) -> Path:
    """The core's source of this name, whichever room has it."""
    return next(source for source in SOURCES if source.name == name)


def of_device(runtime: Path) -> list[Path]:
    """Core and device, without those that a firmware's `runtime` folder replaces."""
    own = runtime / "meson.build"
    replaced: list[str] = lists(runtime)["replaced"] if own.exists() else []
    return [path for path in (*SOURCES, *DEVICE_SOURCES) if path.name not in replaced]


def kernels(isa: str) -> dict[Path, list[str]]:
    """The kernel sources for x86, arm or cortex_m, and the flags that each needs."""
    flags: dict[str, list[str]] = lists(HERE / "kernels" / isa)["kernel_flags"]
    return {HERE / "kernels" / f"{name}.c": value for name, value in flags.items()}


def zcbor() -> Path:
    """Where zcbor's wheel is, which carries its C sources; nothing of it is imported."""
    spec = importlib.util.find_spec("zcbor")
    if spec is None or spec.origin is None:
        sys.exit(f"zcbor's C sources are not there: {sys.executable} -m pip install zcbor==0.9.1")
    return Path(spec.origin).parent


def include() -> list[str]:
    """The compiler's options for the core's headers, and zcbor's."""
    theirs = [option for name in ("include", "src") for option in ("-isystem", str(zcbor() / name))]
    return [*(f"-I{room}" for room in ROOMS), *theirs]


_core, _linux = lists(HERE / "core"), lists(HERE / "linux")
DIALECT: str = f"-std={_core['c_dialect']}"
FLOAT_FLAGS: list[str] = _core["float_flags"]
FLAGS: list[str] = [DIALECT, *_core["core_flags"]]
WARNINGS: list[str] = _core["core_warnings"]
ROOMS: list[Path] = [
    *(HERE / "core" / room for room in _core["core_rooms"]),
    HERE / "kernels",
    HERE / "device",
]
SOURCES: list[Path] = _core["core_sources"]
DEVICE_SOURCES: list[Path] = lists(HERE / "device")["device_sources"]
LINUX = HERE / "linux"
LINUX_FLAGS: list[str] = [DIALECT, *FLOAT_FLAGS, *_linux["linux_flags"], f"-I{LINUX}"]
LINUX_SOURCES: list[Path] = _linux["linux_sources"]

if __name__ == "__main__":
    everything = [DIALECT, *FLOAT_FLAGS, *include(), *map(str, SOURCES)]
    print(*([zcbor()] if sys.argv[1:] == ["zcbor"] else everything))
