"""The build tools that an image needs: run by name, and named with their package when missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from bankai_edge.errors import BankaiError

# program -> the Debian package that has it
PACKAGES = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "fdtget": "device-tree-compiler",
    "fdtput": "device-tree-compiler",
    "mcopy": "mtools",
    "mmd": "mtools",
    "mkfs.erofs": "erofs-utils",
    "mkfs.vfat": "dosfstools",
    "python3.11": "python3.11-minimal",
}
_SBIN = ("/usr/sbin", "/sbin")  # not on every user's PATH


def find(program: str) -> str | None:
    """Where a program is, also when its folder is not on this user's PATH."""
    if program == "python3.11" and sys.version_info[:2] == (3, 11):
        return sys.executable
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN))
    return shutil.which(program, path=path)


def require(programs: Iterable[str]) -> None:
    """Raise BankaiError that names every missing program and the command that installs them."""
    missing = [program for program in programs if find(program) is None]
    if missing:
        packages = " ".join(sorted({PACKAGES[program] for program in missing}))
        raise BankaiError(
            f"an image cannot be built without {', '.join(missing)}",
            next_step=f"Install what has them: sudo apt-get install {packages}",
        )


def run(
    program: str,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a build tool to its end and return its stdout; raises BankaiError with its own words."""
    require([program])
    found = find(program)
    assert found is not None
    done = subprocess.run(
        [found, *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", **(env or {})},
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no word why").splitlines()
        raise BankaiError(f"{program} failed with status {done.returncode}: {said[-1]}")
    return done.stdout


def versions() -> dict[str, str]:
    """The versions of what decides over an image's bytes: other ones may make other bytes."""
    found = {"python": run("python3.11", "-c", "import platform as p; print(p.python_version())")}
    query = find("dpkg-query")
    for package in ("device-tree-compiler", "dosfstools", "erofs-utils", "mtools"):
        found[package] = "unknown"
        if query:
            words = [query, "-W", "-f", "${Version}", package]
            done = subprocess.run(words, capture_output=True, text=True)
            found[package] = done.stdout or "unknown"
    return {name: version.strip() for name, version in found.items()}
