"""Build the firmware as a Linux process, with gcc: the very sources that the chips get.

python firmware/ports/host/build.py OUT [NAME[=VALUE] ...]

Its environment is described in port.c; run it, and it prints the pty that hosts open.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FIRMWARE = ROOT / "firmware"
CORE, KERNELS = ROOT / "cython_ext/core", ROOT / "cython_ext/kernels"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
FLAGS = ("-std=c11", "-O1", "-g", "-ffp-contract=off", "-fno-strict-aliasing")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def sources() -> list[Path]:
    """Every C file of core, store and firmware."""
    return [
        *sorted(CORE.glob("*.c")),
        *sorted(KERNELS.glob("*.c")),
        *sorted((FIRMWARE / "store").glob("bk_store*.c")),
        *sorted((FIRMWARE / "src").glob("*.c")),
    ]


def zcbor_root() -> Path:
    """Where zcbor's wheel put its C sources."""
    spec = importlib.util.find_spec("zcbor")
    if spec is None or spec.origin is None:
        raise SystemExit("zcbor is not installed: pip install zcbor==0.9.1")
    return Path(spec.origin).parent


def build(
    out: Path, *, defines: Sequence[str] = (), gcc: str = "gcc", flags: Sequence[str] = SANITIZE
) -> Path:
    """Compile and link the program `out`; raises CalledProcessError with gcc's words on stderr."""
    zcbor = zcbor_root()
    include = [f"-I{p}" for p in (FIRMWARE / "include", FIRMWARE / "src", CORE, KERNELS)]
    common = [gcc, *FLAGS, *flags, "-isystem", str(zcbor / "include"), *include]
    common += [f"-D{name}" for name in defines]
    objects = out.parent / f"{out.name}.o.d"
    objects.mkdir(parents=True, exist_ok=True)
    own = [*sources(), FIRMWARE / "ports/host/port.c"]
    theirs = sorted((zcbor / "src").glob("zcbor_[cde]*.c"))
    linked = []
    for source in [*own, *theirs]:
        linked.append(objects / f"{source.parent.name}_{source.stem}.o")
        strict = WARNINGS if source in own else ("-w",)
        command = [*common, *strict, "-c", str(source), "-o", str(linked[-1])]
        subprocess.run(command, check=True)
    subprocess.run([gcc, *flags, *map(str, linked), "-o", str(out)], check=True)
    return out


if __name__ == "__main__":
    build(Path(sys.argv[1]), defines=sys.argv[2:], flags=())
