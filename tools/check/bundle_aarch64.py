"""Install a bundle in an arm64 root, offline, with that root's own Python, and ask the agent.

    sh tools/check/aarch64.sh                            builds the wheel first, then runs this
    python tools/check/bundle_aarch64.py --wheel dist/bankai_edge-...-aarch64.whl

The arm64 Python is the one that build_aarch64.py unpacks; it runs under QEMU's user mode, without a
network where this user may have a namespace of his own. Every command and what it said is printed.
With --pip, the root's own pip, another judge of the same wheels, installs them with no index; with
--newer, all of it is done once more on Debian 13, whose Python is 3.13.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import build_aarch64 as arm64
import cross_aarch64 as cross

from bankai_edge.bundle.versions import PREFIX, STORE
from bankai_edge.shipped import ARITH, NANO

CPU = "cortex-a72"  # a Raspberry Pi 4's
WORK = arm64.WORK / "bundle"
NEWER = arm64.WORK / "debian13"  # whose Python is 3.13
INSTALL_S = 90.0  # how long an install may take, emulated
PIP = ("python3-pip", "python3-distutils", "python3-lib2to3", "python3-setuptools",
       "python3-pkg-resources", "python3-wheel")  # fmt: skip
PROMPT, BEFORE, AFTER = "what is 17+25?", "32", "42"
HOST = [sys.executable, "-m", "bankai_edge"]


class Failed(Exception):
    """A step did not do what it should."""


@dataclass(frozen=True)
class System:
    """An unpacked arm64 system, and its Python's name."""

    root: Path
    python: str


def debian12() -> System:
    """The root that the wheel's tests run on."""
    arm64.unpack_root()
    return System(arm64.ROOT, arm64.PYTHON)


def debian13() -> System:
    """Debian 13's Python, from the mirrors that this Debian 12 uses."""
    system = System(NEWER / "root", "python3.13")
    if not (system.root / "usr/bin/python3.13").exists():
        (NEWER / "sources").mkdir(parents=True, exist_ok=True)
        (NEWER / "sources/debian13.sources").write_text(_sources())
        apt, archives = arm64.apt_get(
            NEWER, "Dir::Etc::sourcelist=/dev/null", f"Dir::Etc::sourceparts={NEWER / 'sources'}"
        )
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "-y", "install", "python3", "libstdc++6", "zlib1g"], check=True)
        for package in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(system.root)], check=True)
        if not (system.root / "lib").exists():
            (system.root / "lib").symlink_to("usr/lib")  # as its base-files would
    return system


def _sources() -> str:
    """This system's first source of bookworm packages, for trixie."""
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for block in path.read_text().split("\n\n"):
            if re.search(r"^Suites:.*\bbookworm\b", block, re.M):
                return re.sub(r"(?m)^Suites:.*$", "Suites: trixie", block) + "\n"
    raise Failed("no source of Debian packages in /etc/apt/sources.list.d that could be used")


def shown(command: list[str], about: str, *, timeout_s: float = 600) -> str:
    """Run a command, print it and what it said; its stdout. Raises Failed unless it succeeds."""
    print(f"$ {about}", flush=True)
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, cwd="/", env=environment()
    )
    for line in (done.stdout + done.stderr).splitlines():
        print(f"    {line}")
    print(f"    ({time.monotonic() - began:.1f} s, exit {done.returncode})", flush=True)
    if done.returncode:
        raise Failed(about)
    return done.stdout


def environment() -> dict[str, str]:
    """Nothing of this environment's Python reaches the emulated one."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return {**kept, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


def emulated(system: System, *arguments: str | Path) -> list[str]:
    """A system's Python on an emulated CPU, with no environment and, if possible, no network."""
    python = str(system.root / "usr/bin" / system.python)
    alone = ["unshare", "--net", "--map-root-user"] if _may_be_alone() else []
    clear = ["env", "-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "PIP_CONFIG_FILE=/dev/null"]
    return [*alone, *clear, cross.QEMU, "-L", str(system.root), "-cpu", CPU, python,
            *map(str, arguments)]  # fmt: skip


def _may_be_alone() -> bool:
    command = ["unshare", "--net", "--map-root-user", "true"]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True).returncode == 0
    return False


def make(wheel: Path, out: Path) -> None:
    """The bundle: signed, with the shipped patches but arith, which are signed too."""
    keys, patches = WORK / "keys", WORK / "patches"
    for folder in (keys, patches):
        folder.mkdir()
    subprocess.run([*HOST, "keys", "new", "site", "--dir", str(keys)], check=True, cwd="/")
    for patch in sorted(ARITH.parent.glob("*.bkp")):
        signed = [*HOST, "patch", "sign", str(patch), "-k", str(keys / "site.key")]
        folder = WORK if patch == ARITH else patches  # that one is pushed later
        subprocess.run([*signed, "-o", str(folder / patch.name)], check=True, cwd="/")
    command = [
        *HOST, "image", "bundle", "--board", "rpi4", "--model", str(NANO), "--patches",
        str(patches), "--trust", str(keys / "site.pub"), "--sign", str(keys / "site.key"),
        "--serial", "none", "--wheel", str(wheel), "-o", str(out),
    ]  # fmt: skip
    shown(command, "bankai-edge image bundle --board rpi4 --model nano.gguf --patches patches "
          "--trust site.pub --sign site.key -o site.bkb")  # fmt: skip


@contextlib.contextmanager
def agent(system: System, socket: Path) -> Iterator[None]:
    """The installed agent, emulated, as its unit starts it."""
    program = system.root / PREFIX / "current/bin/bankai-edge-agent"
    print(f"$ bankai-edge-agent --unix {socket.name} &", flush=True)
    process = subprocess.Popen(
        emulated(system, program, "--unix", socket), stderr=subprocess.PIPE, text=True, cwd="/"
    )
    assert process.stderr is not None
    began = time.monotonic()
    try:
        for line in process.stderr:
            print(f"    {line.rstrip()}", flush=True)
            if ": ready on " in line:
                break
        else:
            raise Failed("the agent did not start")
        print(f"    ({time.monotonic() - began:.1f} s)", flush=True)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def answers(system: System, socket: Path) -> None:
    """Specialise the installed agent, from this machine and from the device itself."""
    there = ["--device", f"unix:{socket}", "--timeout", "30"]
    program = system.root / PREFIX / "current/bin/bankai-edge"
    shown([*HOST, "info", *there], "bankai-edge info")
    before = shown([*HOST, "ask", PROMPT, *there], f'bankai-edge ask "{PROMPT}"').strip()
    patch = WORK / ARITH.name
    shown([*HOST, "push", str(patch), "--use", *there], "bankai-edge push arith.bkp --use")
    after = shown([*HOST, "ask", PROMPT, *there], f'bankai-edge ask "{PROMPT}"').strip()
    listed = shown(emulated(system, program, "list", *there), "bankai-edge list   # on the device")
    if (before, after) != (BEFORE, AFTER):
        raise Failed(f"{PROMPT} {before} before and {after} after; expected {BEFORE} and {AFTER}")
    if "units" not in listed:
        raise Failed("the bundle's patches are not in the store")


def pip_agrees(system: System, bundle: Path) -> None:
    """The root's own pip takes the bundle's wheels, with no index."""
    wheels, target = WORK / "wheels", WORK / "pip"
    with zipfile.ZipFile(bundle) as archive:
        for name in archive.namelist():
            if name.startswith("wheels/"):
                archive.extract(name, WORK)
    if not (system.root / "usr/lib/python3/dist-packages/pip").exists():
        arm64.unpack_also(*PIP)
    shown(
        emulated(system, "-m", "pip", "install", "--no-index", "--find-links", wheels,
                 "--target", target, "--no-compile", "--disable-pip-version-check",
                 "--root-user-action=ignore",
                 "bankai-edge[sign]"),
        "python3 -m pip install --no-index --find-links wheels 'bankai-edge[sign]'",
    )  # fmt: skip


def install(system: System, bundle: Path) -> float:
    """Install a bundle, ask the agent, install it once more; the first install's seconds."""
    for place in (PREFIX, STORE, "usr/local/bin/bankai-edge"):
        path = system.root / place
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    print(f"# a device with {system.python}", flush=True)
    began = time.monotonic()
    shown(
        emulated(system, bundle, "--root", system.root, "--key", WORK / "keys/site.pub"),
        "python3 site.bkb --key site.pub   # on the device, offline",
    )
    took = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "agent.sock"
        with agent(system, socket):
            answers(system, socket)
    again = emulated(system, bundle, "--root", system.root)
    shown(again, "python3 site.bkb                  # once more")
    return took


def main() -> int:
    """0: installed and answering; 1: not so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--wheel", type=Path, required=True, help="bankai-edge's aarch64 wheel")
    parser.add_argument("--pip", action="store_true", help="and let the root's own pip judge")
    parser.add_argument("--newer", action="store_true", help="and on Debian 13, with Python 3.13")
    args = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    bundle = WORK / "site.bkb"
    try:
        make(args.wheel.resolve(), bundle)
        took = [install(debian12(), bundle)]
        if args.newer:
            took.append(install(debian13(), bundle))
        if args.pip:
            pip_agrees(debian12(), bundle)
    except (Failed, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    figures = {"bytes": bundle.stat().st_size, "install_s": [round(t, 1) for t in took]}
    print(json.dumps(figures))
    if max(took) > INSTALL_S:
        print(f"an install took {max(took):.0f} s, more than {INSTALL_S:.0f}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
