"""Cross-build the aarch64 wheel, check it, and run the Python tests on emulated Raspberry Pis.

    pip install ".[cross]"; apt-get install qemu-user
    python tools/check/build_aarch64.py            dist/bankai_edge-...-cp311-abi3-manylinux_...whl
    python tools/check/build_aarch64.py --test     and run the tests with it under QEMU's user mode

One wheel serves CPython 3.11 and everything newer, so both Raspberry Pi OS's 3.11 and its 3.13: its
modules keep to the stable ABI, which abi3audit judges. Needs Debian 12 and Python 3.11. The arm64
Python that the tests run on is unpacked, never installed, below build/aarch64: packages come from
the host's own apt sources by way of a separate apt state, and no maintainer script runs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cross_aarch64 as cross

from bankai_edge.bundle.wheels import OLDEST_GLIBC, pip_target
from bankai_edge.image.elf import MACHINE_AARCH64

PYTHON = "python3.11"
WORK = cross.ROOT / "build" / "aarch64"
ROOT = WORK / "root"
SITE = WORK / "site"
TRIPLE = "aarch64-linux-gnu"
SUFFIX = ".abi3.so"
GLIBC = 28  # minor version: Debian 10 and everything newer
ONE_CPU_TESTS = (
    "core/test_forward",
    "patch/test_patch_model",
    "core/test_gguf",
    "patch/test_patch",
)
REFUSAL = """import sys
from bankai_edge.errors import UsageError
from bankai_edge.model import Model
from bankai_edge.shipped import NANO
try:
    Model(NANO)
except UsageError as refusal:
    sys.exit("dot-product" not in str(refusal))
sys.exit(1)
"""
SLOW_HOST = """import hypothesis
hypothesis.settings.register_profile(  # emulated: that inputs are made slowly is no finding
    "slow", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("slow")
"""


# ---- the private arm64 root ---------------------------------------------------------------------


def unpack_root() -> None:
    """Python, its C++ runtime and its headers for arm64, unpacked below WORK."""
    if (ROOT / "usr/bin" / PYTHON).exists():
        return
    apt, _ = apt_get()
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "-y", "install", "python3", "libstdc++6", "zlib1g"], check=True)
    # the headers alone, without the compiler's world that they depend on
    unpack_also(f"lib{PYTHON}-dev")


def unpack_also(*packages: str) -> None:
    """Unpack these packages, too, without what they depend on."""
    apt, archives = apt_get()
    subprocess.run([*apt, "download", *packages], check=True, cwd=archives)
    for package in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(ROOT)], check=True)


def apt_get(work: Path = WORK, *more: str) -> tuple[list[str], Path]:
    """apt-get with a state of its own, for arm64; and where it puts what it downloads."""
    state, cache = work / "apt/state", work / "apt/cache"
    archives = cache / "archives"
    for folder in (state / "lists/partial", archives / "partial", work / "root"):
        folder.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = [
        "APT::Architecture=arm64", "APT::Architectures::=arm64", "Debug::NoLocking=true",
        "APT::Install-Recommends=false", "APT::Get::Download-Only=true",
        f"Dir::State={state}", f"Dir::State::status={state / 'status'}", f"Dir::Cache={cache}",
        "APT::Sandbox::User=root", *more,
    ]  # fmt: skip
    return ["apt-get", "-qq", *(part for option in options for part in ("-o", option))], archives


# ---- the wheel ----------------------------------------------------------------------------------


def write_cross_file() -> Path:
    """Meson's description of the target: zig's compiler, which pins the C library's version."""
    include = ROOT / "usr/include"
    zig = f"'{sys.executable}', '-m', 'ziglang'"
    path = WORK / "cross.ini"
    path.write_text(f"""[binaries]
c = [{zig}, 'cc', '-target', '{TRIPLE}.2.{GLIBC}']
ar = [{zig}, 'ar']
cython = 'cython'
[built-in options]
c_args = ['-g0', '-I{include / PYTHON}', '-I{include}']
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'armv8-a'
endian = 'little'
""")
    return path


def build_wheel(out: Path) -> Path:
    """Build with meson-python as if this Python were the target's; returns the tagged wheel."""
    settings = WORK / "sysconfig"  # that file alone: another would shadow the host's modules
    settings.mkdir(exist_ok=True)
    data = f"_sysconfigdata__{TRIPLE}"
    shutil.copy(ROOT / "usr/lib" / PYTHON / f"{data}.py", settings)
    when = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=cross.ROOT, capture_output=True, text=True
    ).stdout.strip()
    fresh = WORK / "wheel"
    shutil.rmtree(fresh, ignore_errors=True)
    for cached in [*(cross.ROOT / "bankai_edge").rglob("__pycache__")]:
        shutil.rmtree(cached, ignore_errors=True)  # or this host's bytecode would go in
    env = {
        **os.environ,
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        "_PYTHON_SYSCONFIGDATA_NAME": data,
        "PYTHONPATH": str(settings),
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or when or "1700000000",
    }
    subprocess.run(
        [sys.executable, "-m", "build", "-n", "-x", "-w", "-o", str(fresh),
         "-Csetup-args=-Dstable_abi=true", f"-Csetup-args=--cross-file={write_cross_file()}",
         str(cross.ROOT)],
        check=True, env=env,
    )  # fmt: skip
    (wheel,) = fresh.glob("*.whl")
    glibc = check_wheel(wheel)
    subprocess.run(
        [sys.executable, "-m", "wheel", "tags", "--remove", "--python-tag=cp311",
         "--abi-tag=abi3", f"--platform-tag=manylinux_2_{glibc}_aarch64", str(wheel)],
        check=True,
    )  # fmt: skip
    (tagged,) = fresh.glob("*.whl")
    subprocess.run([sys.executable, "-m", "abi3audit", "--strict", str(tagged)], check=True)
    out.mkdir(exist_ok=True)
    return Path(shutil.copy(tagged, out))


def check_wheel(wheel: Path) -> int:
    """The newest glibc 2.x that its modules ask for, at least 17, the oldest that the tag can name.

    Raises ValueError for a module of another machine or suffix, or too new a C library: a wheel can
    be named aarch64 and hold anything.
    """
    newest = OLDEST_GLIBC
    with zipfile.ZipFile(wheel) as archive:
        modules = [name for name in archive.namelist() if name.endswith(".so")]
        if not modules:
            raise ValueError(f"{wheel.name} holds no compiled module")
        for name in modules:
            elf = archive.read(name)
            machine = int.from_bytes(elf[18:20], "little")
            if elf[:5] != b"\x7fELF\x02" or machine != MACHINE_AARCH64:
                raise ValueError(f"{name} is for ELF machine {machine}, not {MACHINE_AARCH64}")
            if not name.endswith(SUFFIX):
                raise ValueError(f"{name} is not {SUFFIX}: not every Python would import it")
            asked = [int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", elf)]
            newest = max(newest, *asked)
    if newest > GLIBC:
        raise ValueError(f"{wheel.name} needs glibc 2.{newest}, newer than 2.{GLIBC}")
    return newest


# ---- tests --------------------------------------------------------------------------------------


def install(wheel: Path) -> None:
    """The wheel and what it depends on, as pip would install them on a Pi, into SITE."""
    shutil.rmtree(SITE, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(SITE),
         *pip_target("3.11", "aarch64", GLIBC), str(wheel), "pytest>=8", "hypothesis>=6.100"],
        check=True,
    )  # fmt: skip


def emulated(cpu: str, arguments: list[str], kernel: str | None = None) -> int:
    """Run the arm64 Python on an emulated CPU; returns its exit status."""
    names = {"PYTHONPATH": str(SITE), "XDG_CACHE_HOME": str(WORK / "cache")}
    if kernel:
        names["BANKAI_KERNEL"] = kernel
    given = [part for name, value in names.items() for part in ("-E", f"{name}={value}")]
    python = str(ROOT / "usr/bin" / PYTHON)
    command = [cross.QEMU, "-L", str(ROOT), "-cpu", cpu, *given, python, *arguments]
    return subprocess.run(command, cwd=WORK / "run").returncode


def test_wheel() -> bool:
    """The golden hashes on every CPU under every kernel, the core's Python tests on one CPU."""
    here = WORK / "run"  # without the sources beside them, so that the installed package is tested
    shutil.rmtree(here, ignore_errors=True)
    for name in ("tests", "tools/make"):
        shutil.copytree(cross.ROOT / name, here / name)
    shutil.copy(cross.ROOT / "pyproject.toml", here)  # where the tests import from
    (here / "slow_host.py").write_text(SLOW_HOST)
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "slow_host"]
    good = True
    for cpu, (board, has_dot_product) in cross.CPUS.items():
        for kernel in cross.KERNELS:
            refused = kernel == "neon-sdot" and not has_dot_product
            print(f"{cpu} ({board}), {kernel}", "must be refused" if refused else "", flush=True)
            if refused:
                good &= emulated(cpu, ["-c", REFUSAL], kernel) == 0
            else:
                golden = [*pytest, "-k", "golden", "tests/core/test_forward.py"]
                good &= emulated(cpu, golden, kernel) == 0
    files = [f"tests/{name}.py" for name in ONE_CPU_TESTS]
    return emulated("cortex-a72", [*pytest, *files]) == 0 and good


def main() -> int:
    """0: built (and tested); 1: a check or a test failed; 2: cannot build here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--test", action="store_true", help="run the tests on emulated CPUs")
    parser.add_argument("--out", type=Path, default=cross.ROOT / "dist", help="default: dist")
    args = parser.parse_args()
    if sys.version_info[:2] != (3, 11):
        print("This is Python {}.{}; the wheel for 3.11 is built by 3.11.".format(
            *sys.version_info), file=sys.stderr)  # fmt: skip
        return 2
    unpack_root()
    try:
        wheel = build_wheel(args.out)
    except (ValueError, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(wheel)
    if not args.test:
        return 0
    install(wheel)
    return 0 if test_wheel() else 1


if __name__ == "__main__":
    sys.exit(main())
