"""The root file system: Python, NumPy, this package and busybox, as a folder of files.

Packages are unpacked, never installed; what a device has no use for is left out. Every ELF file's
libraries are looked for before the root counts as whole.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import stat
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bankai_edge.errors import BankaiError
from bankai_edge.image import elf
from bankai_edge.image.packages import members
from bankai_edge.image.programs import run

CARD = Path(__file__).parent / "card"  # what runs there: busybox scripts and their tables
PACKAGES = (
    "busybox-static", "e2fsprogs", "libblkid1", "libbz2-1.0", "libc6", "libcom-err2", "libcrypt1",
    "libexpat1", "libext2fs2", "libffi8", "libgcc-s1", "liblzma5", "libpython3.11-minimal",
    "libpython3.11-stdlib", "libss2", "libssl3", "libstdc++6", "libuuid1", "python3.11-minimal",
    "zlib1g",
)  # fmt: skip
SITE = "usr/lib/python3/dist-packages"  # where Debian's Python looks
STDLIB = "usr/lib/python3.11"
LIBRARIES = "usr/lib/aarch64-linux-gnu"
# Of every package, what no device needs; then what these ones need not have.
_LEFT_OUT = (
    "usr/share/*", "usr/lib/python3.11/test/*", "usr/lib/python3.11/ensurepip/*",
    "usr/lib/python3.11/lib2to3/*", "usr/lib/python3.11/pydoc_data/*",
    "usr/lib/python3.11/idlelib/*", "usr/lib/python3.11/sqlite3/*", "usr/lib/python3.11/curses/*",
    "usr/lib/python3.11/tkinter/*", "usr/lib/python3.11/turtle.py",
    "usr/lib/python3.11/sitecustomize.py",
    *(f"{STDLIB}/lib-dynload/{name}.*" for name in (
        "_codecs_*", "_curses*", "_dbm", "_gdbm", "_sqlite3", "_test*", "_tkinter", "_xx*",
        "audioop", "nis", "ossaudiodev", "readline", "xxlimited*",
    )),
    f"{LIBRARIES}/gconv/*", f"{LIBRARIES}/audit/*", f"{LIBRARIES}/engines-3/*",
    f"{LIBRARIES}/ossl-modules/*", f"{LIBRARIES}/e2fsprogs/*", f"{LIBRARIES}/libmemusage.so",
    f"{LIBRARIES}/libnss_hesiod*", f"{LIBRARIES}/libc_malloc_debug*", f"{LIBRARIES}/libthread_db*",
    f"{LIBRARIES}/libpcprofile.so",
    "etc/cron.d/*", "etc/apt/*", "etc/ssl/*", "etc/ld.so.conf.d/*", "usr/lib/systemd/*",
    "usr/lib/udev/*", "usr/lib/binfmt.d/*", "etc/python3.11/*", "usr/lib/ssl/*",
)  # fmt: skip
ONLY = {"e2fsprogs": ("usr/sbin/e2fsck", "usr/sbin/mke2fs", "etc/mke2fs.conf")}
_WHEELS_LEFT_OUT = (
    "*/tests/*", "*/testing/tests/*", "*.pyi", "*.h", "*.a", "*.pxd", "*.pyx", "*.c",
    "numpy/f2py/*", "numpy/distutils/*", "numpy/_core/include/*", "numpy/_core/lib/*",
    "*.dist-info/sboms/*",
)  # fmt: skip
# Applets that the scripts use, or that help to find out why a board does not come up.
_APPLETS = (
    "[ ash awk basename cat chmod chown cp cut date dd df dmesg dirname du echo env false find "
    "free grep head hexdump hostname id init insmod ip kill ln logger ls lsmod mkdir mount mv "
    "nproc printf ps pwd readlink reboot rm rmdir sed sh sleep sort stat stty su sync syslogd tail "
    "tee test time top touch tr true udhcpc umount uname uptime usleep wc"
)
_MERGED = ("bin", "sbin", "lib")  # Debian's packages still use both names
_ACCOUNTS = {
    "etc/passwd": "root:*:0:0:root:/tmp:/bin/false\nagent:*:1000:1000:agent:/tmp:/bin/false\n",
    "etc/group": "root:*:0:\nagent:*:1000:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/e2fsck.conf": "[options]\nbroken_system_clock = 1\n",
}
_COMMAND = '#!/bin/sh\nexec python3.11 -m bankai_edge "$@"\n'


def unpack(deb: Path, root: Path, wanted: Sequence[str] = ("*",)) -> None:
    """Put a package's files below `root`, under merged /usr, but for those left out."""
    for entry, content in members(deb):
        path = merged(entry.name)
        if not _chosen(path, wanted) or not path:
            continue
        target = root / path
        if entry.isdir():
            continue  # made for what lies in it
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.issym():
            target.unlink(missing_ok=True)
            target.symlink_to(entry.linkname)
        elif entry.islnk():
            shutil.copy2(root / merged(entry.linkname), target)
        elif content is not None:
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)
            target.chmod(0o755 if entry.mode & 0o111 else 0o644)


def merged(name: str) -> str:
    """A path in a package as it is in a root where /bin, /sbin and /lib are in /usr."""
    path = PurePosixPath(name.removeprefix("./"))
    if ".." in path.parts or path.is_absolute():
        raise BankaiError(f"a package holds the path {name!r}, which leads out of the root")
    text = "" if str(path) == "." else str(path)
    return f"usr/{text}" if path.parts and path.parts[0] in _MERGED else text


def _chosen(path: str, wanted: Sequence[str]) -> bool:
    if fnmatch.fnmatchcase(path, "usr/share/doc/*/copyright"):
        return True  # who gives the image away owes them
    if not any(fnmatch.fnmatchcase(path, pattern) for pattern in wanted):
        return False
    return not any(fnmatch.fnmatchcase(path, pattern) for pattern in _LEFT_OUT)


def add_wheel(wheel: Path, root: Path) -> None:
    """Unpack a wheel where the root's Python finds it. Scripts it has none: modules are run."""
    site = root / SITE
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = PurePosixPath(entry.filename)
            if ".." in name.parts or name.is_absolute():
                raise BankaiError(f"{wheel.name} holds the path {name}, which leads out of it")
            if name.parts[0].endswith(".data"):
                if name.parts[1] not in ("purelib", "platlib"):
                    continue
                name = PurePosixPath(*name.parts[2:])
            text = str(name)
            if entry.is_dir() or any(fnmatch.fnmatchcase(text, p) for p in _WHEELS_LEFT_OUT):
                continue
            target = site / text
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(entry))
            target.chmod(0o644)


def add_system(root: Path, config: Mapping[str, str]) -> None:
    """What no package has: scripts, accounts without passwords, mount points, applets."""
    for name in _MERGED:
        (root / name).symlink_to(f"usr/{name}")
    for name in ("data", "dev", "model", "proc", "run", "sys", "tmp"):
        (root / name).mkdir()
    scripts = root / "etc/bankai"
    scripts.mkdir(parents=True, exist_ok=True)
    for name in ("agent", "lease", "serve", "start"):
        shutil.copyfile(CARD / name, scripts / name)
        (scripts / name).chmod(0o755)
    shutil.copyfile(CARD / "inittab", root / "etc/inittab")
    for name, text in _ACCOUNTS.items():
        (root / name).write_text(text)
    (root / "etc/mtab").symlink_to("../proc/self/mounts")
    (scripts / "config").write_text("".join(f"{k}={_quoted(v)}\n" for k, v in config.items()))
    for applet in _APPLETS.split():
        place = root / ("usr/sbin" if applet in ("init", "reboot") else "usr/bin") / applet
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to("/usr/bin/busybox")
    command = root / "usr/bin/bankai-edge"
    command.write_text(_COMMAND)
    command.chmod(0o755)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def compile_python(root: Path) -> None:
    """Byte code beside every module, by Python 3.11 itself: half of a slow board's start.

    Unchecked, so that neither times nor sources are looked at again.
    """
    run(
        "python3.11", "-m", "compileall", "-q", "-j1", "--invalidation-mode", "unchecked-hash",
        "-s", root, "-p", "/", root / STDLIB, root / SITE,
        env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def missing_libraries(root: Path) -> dict[str, list[str]]:
    """Libraries that something in the root asks for and that are not there: who asks for each.

    Raises BankaiError for a program or library that is not for aarch64.
    """
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    present = {path.name for path in root.rglob("*.so*")}
    missing: dict[str, list[str]] = {}
    for path in files:
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
            file.seek(0)
            image = file.read()
        name = str(path.relative_to(root))
        try:
            libraries = elf.needed(image, name)
        except ValueError as error:
            raise BankaiError(f"the root is not for this board: {error}") from error
        for library in libraries:
            if library not in present:
                missing.setdefault(library, []).append(name)
    return missing


def check(root: Path) -> None:
    """Raise BankaiError unless the root is whole."""
    missing = missing_libraries(root)
    if missing:
        library, users = next(iter(missing.items()))
        raise BankaiError(f"the root has no {library}, which {users[0]} needs")
    for needed in ("usr/bin/python3.11", "usr/bin/busybox", f"{SITE}/bankai_edge/__main__.py"):
        if not (root / needed).exists():
            raise BankaiError(f"the root has no /{needed}: a package of another layout?")


def settle(root: Path, when: int) -> None:
    """One time for every file, and modes that depend on no umask."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644)
        os.utime(path, (when, when), follow_symlinks=False)


def size_bytes(paths: Iterable[Path]) -> int:
    """The sum of the files' sizes."""
    return sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())
