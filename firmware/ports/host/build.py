"""Build the firmware as a Linux process, with gcc: the very sources that the chips get.

python firmware/ports/host/build.py OUT [session|switcher [NAME[=VALUE] ...]]

Its environment is described in port.c; run it, and it prints the pty that hosts open.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FIRMWARE = ROOT / "firmware"
sys.path.append(str(ROOT / "cython_ext"))

import core_build as core  # noqa: E402

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def sources(runtime: str) -> list[Path]:
    """Every C file of core, device and firmware; `runtime` answers for weights."""
    return [
        *core.of_device(FIRMWARE / runtime),
        *sorted((FIRMWARE / "store").glob("bk_store*.c")),
        *sorted((FIRMWARE / runtime).glob("*.c")),
        *sorted((FIRMWARE / "src").glob("*.c")),
    ]


def sign_sources(objects: Path, policy: str, trust: Path | None) -> tuple[list[Path], list[Path]]:
    """What verifies, and the table of keys; Monocypher's, which are not in this tree."""
    sys.path.insert(0, str(FIRMWARE / "scripts"))
    import firmware_keys
    import firmware_monocypher

    table = objects / f"bk_sign_{policy}.c"
    table.write_text(firmware_keys.table(policy, trust))
    own = [*sorted((FIRMWARE / "sign").glob("*.c")), table]
    return own, [firmware_monocypher.fetch() / "monocypher.c"]


def build(
    out: Path,
    *,
    defines: Sequence[str] = (),
    gcc: str = "gcc",
    flags: Sequence[str] = SANITIZE,
    policy: str = "",
    trust: Path | None = None,
    runtime: str = "session",
    reuse: bool = False,
) -> Path:
    """Compile and link the program `out`; raises CalledProcessError with gcc's words on stderr.

    With a policy it verifies signatures, by the keys in `trust`. `runtime` is session or switcher.
    With `reuse`, objects that an earlier call put beside `out` are taken as they are.
    """
    objects = out.parent / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    own = [*sources(runtime), FIRMWARE / "ports/host/port.c"]
    theirs: list[Path] = []
    if policy:
        judge, theirs = sign_sources(objects, policy, trust)
        own += judge
    else:
        own += sorted((FIRMWARE / "unsigned").glob("*.c"))
    include = [f"-I{FIRMWARE / folder}" for folder in ("include", "src", "sign", runtime)]
    include += [*core.include(), *(f"-isystem{path.parent}" for path in theirs)]
    common = [gcc, core.DIALECT, *core.FLOAT_FLAGS, "-O1", "-g", *flags, *include]
    common += [f"-D{name}" for name in defines]
    linked = []
    for source in [*own, *theirs]:
        linked.append(objects / f"{source.parent.name}_{source.stem}.o")
        if reuse and linked[-1].exists():
            continue
        strict = [*core.WARNINGS, "-Werror"] if source in own else ["-w"]
        subprocess.run([*common, *strict, "-c", str(source), "-o", str(linked[-1])], check=True)
    subprocess.run([gcc, *flags, *map(str, linked), "-o", str(out)], check=True)
    return out


if __name__ == "__main__":
    target, *more = sys.argv[1:]
    build(Path(target), runtime=more[0] if more else "session", defines=more[1:], flags=())
