"""The wheels of a bundle: this project's own, and what it needs, for another machine's Python.

pip chooses and fetches them, for the target's platform and Python; nothing is built or installed.
What was fetched once is kept below the user's cache directory, so that the same bundle can be made
again, and offline.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bankai_edge import __version__, folders
from bankai_edge.errors import BankaiError, IncompatibleError, UsageError

try:
    from packaging.requirements import Requirement
    from packaging.tags import Tag, compatible_tags, cpython_tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
except ImportError as error:
    raise BankaiError(
        f"bundles and images need the library packaging ({error})",
        next_step="Install it: pip install 'bankai-edge[image]'.",
    ) from error

OWN = "bankai-edge"
PYTHONS = ("3.11", "3.13")  # Debian 12's and 13's, which are also Raspberry Pi OS's
OLDEST_GLIBC, NEWEST_GLIBC = 17, 36  # minor versions: manylinux2014's, and Debian 12's
VERIFIER = "cryptography"  # what the extra "sign" brings


@dataclass(frozen=True)
class WheelFile:
    """A wheel by its file name: whom it serves. `name` is normalised, as in bankai-edge."""

    path: Path
    name: str
    version: str
    tags: frozenset[Tag]

    def serves(self, python: str, machine: str) -> bool:
        """Whether CPython `python` (as "3.11") on this machine can import it."""
        version = (3, int(python.partition(".")[2]))
        own = "cp{}{}".format(*version)
        places = [place for place in self._platforms if place.endswith(f"_{machine}")]
        fitting = {
            *cpython_tags(version, [own], places), *compatible_tags(version, own, places)
        }  # fmt: skip
        return not fitting.isdisjoint(self.tags)

    @property
    def glibc(self) -> int:
        """The oldest glibc 2.x that its modules run on, as far as its name tells; 0: any."""
        if "any" in self._platforms:
            return 0
        known = [int(m[1]) for p in self._platforms if (m := re.match(r"manylinux_2_(\d+)_", p))]
        known += [OLDEST_GLIBC for p in self._platforms if p.startswith("manylinux2014_")]
        return min(known, default=OLDEST_GLIBC)

    @property
    def _platforms(self) -> set[str]:
        return {tag.platform for tag in self.tags}


def wheel_file(path: Path) -> WheelFile:
    """Read a wheel's name; raises UsageError for a file that has none."""
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        raise UsageError(
            f"{path} is no wheel", expected="NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
        ) from None
    return WheelFile(path, name, str(version), tags)


def own_wheel(given: tuple[Path, ...], python: str, machine: str) -> Path:
    """Which of the wheels given with --wheel serves this Python.

    Raises UsageError for other projects' wheels, IncompatibleError (exit 4) when none serves it or
    it is of another version than the installer that goes with it.
    """
    for wheel in map(wheel_file, given):
        if wheel.name != OWN:
            raise UsageError(f"--wheel {wheel.path} is of {wheel.name}", expected="bankai-edge's")
        if not wheel.path.is_file():
            raise UsageError(f"--wheel {wheel.path} is not there", expected="a wheel")
        if wheel.version != __version__:
            raise IncompatibleError(
                f"{wheel.path.name} is of version {wheel.version}", expected=__version__
            )
        if wheel.serves(python, machine):
            return wheel.path
    raise IncompatibleError(
        f"no --wheel serves CPython {python} on {machine}",
        expected=f"bankai_edge-{__version__}-cp311-abi3-…_{machine}.whl",
        next_step="Build it: python tools/check/build_aarch64.py",
    )


def gather(
    own: Path | None, python: str, machine: str, *, signed: bool, folder: Path | None, refresh: bool
) -> list[Path]:
    """Every wheel that bankai-edge needs on this Python, its own first.

    `own` None takes that from the index, too. `folder` holds the wheels, in place of an index.
    `signed`: with what verifies signatures. `refresh`: ask the index again for what was kept.
    Raises BankaiError with pip's reason.
    """
    extra = "[sign]" if signed else ""
    wanted = f"{own}{extra}" if own else f"{OWN}{extra}=={__version__}"
    if folder is not None:
        with tempfile.TemporaryDirectory() as scratch:
            names = [
                path.name for path in _download(wanted, python, machine, Path(scratch), folder)
            ]
        found = [own if own and name == own.name else folder / name for name in names]
    else:
        needs = _needs(own) if own else [wanted]
        key = json.dumps([needs, extra, python, machine, NEWEST_GLIBC])
        kept = folders.cache("wheels") / hashlib.sha256(key.encode()).hexdigest()[:24]
        if refresh:
            shutil.rmtree(kept, ignore_errors=True)
        if not kept.is_dir():
            _fetch(wanted, python, machine, kept, leave_out=own.name if own else "")
        found = [*([own] if own else []), *sorted(kept.glob("*.whl"))]
    for wheel in map(wheel_file, found):
        if not wheel.serves(python, machine):
            raise IncompatibleError(f"{wheel.path.name} does not serve {python} on {machine}")
    if signed and not any(wheel_file(path).name == VERIFIER for path in found):
        raise BankaiError(
            f"the wheels for {python} have no {VERIFIER}, which keys and signatures need",
            expected="a bankai-edge whose extra 'sign' names it",
        )
    return sorted(found, key=lambda path: (wheel_file(path).name != OWN, path.name))


def _metadata(wheel: Path) -> importlib.metadata.PackageMetadata:
    """What a wheel says of itself; raises IncompatibleError for a file that is none."""
    try:
        (found,) = importlib.metadata.distributions(path=[str(wheel)])
        return found.metadata
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise IncompatibleError(f"{wheel} is not a wheel ({error})") from error


def requirements(wheel: Path, extra: str = "") -> list[str]:
    """What a wheel needs in every case, without a marker; then what it needs for an extra alone."""
    always, more = [], []
    for text in _metadata(wheel).get_all("Requires-Dist") or ():
        marker = Requirement(text).marker
        bare = text.partition(";")[0].replace(" ", "")
        if marker is None:
            always.append(bare)
        elif marker.evaluate({"extra": extra}) > marker.evaluate({"extra": ""}):
            more.append(bare)
    return [*sorted(always), *sorted(more)]


def _needs(own: Path) -> list[str]:
    """All that a wheel says that it needs, in every case or for an extra."""
    said = _metadata(own)
    fields = ("Requires-Dist", "Provides-Extra")
    return sorted(f"{name}: {value}" for name in fields for value in said.get_all(name) or ())


def _fetch(wanted: str, python: str, machine: str, kept: Path, *, leave_out: str) -> None:
    """Fill a cache folder whole, or leave none; `leave_out` is a wheel that is at hand already."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=kept.parent))
    except OSError as error:
        raise BankaiError(
            f"{kept.parent} cannot be written ({error.strerror})",
            next_step="Name another cache with XDG_CACHE_HOME, or give the wheels with --wheels.",
        ) from error
    try:
        for path in _download(wanted, python, machine, scratch):
            if path.name == leave_out:
                path.unlink()
        scratch.rename(kept)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(
    wanted: str, python: str, machine: str, out: Path, folder: Path | None = None
) -> list[Path]:
    return download(
        [wanted], python, machine, out, folder=folder,
        next_step="Build this project's own with python tools/check/build_aarch64.py and give it "
        "with --wheel; give the others with --wheels DIR where there is no network.",
    )  # fmt: skip


def download(
    wanted: Iterable[str],
    python: str,
    machine: str,
    out: Path,
    *,
    folder: Path | None = None,
    newest_first: bool = False,
    next_step: str = "",
) -> list[Path]:
    """Fetch the wheels of these requirements, and what they need, into `out`.

    `folder` takes the place of an index. Of several for one machine comes the one for the oldest
    C library, or for the newest. Raises BankaiError with pip's reason.
    """
    given = ["--no-index", f"--find-links={folder}"] if folder else []
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", f"--dest={out}",
        *pip_target(python, machine, newest_first=newest_first), *given, *wanted,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise BankaiError(
            f"pip finds no wheels for CPython {python} on {machine}: "
            + (reason[-1].removeprefix("ERROR: ") if reason else done.stderr.strip()[-300:]),
            next_step=next_step,
        )
    return sorted(out.glob("*.whl"))


def pip_target(
    python: str, machine: str, newest_glibc: int = NEWEST_GLIBC, *, newest_first: bool = False
) -> Sequence[str]:
    """pip's options for wheels, and no others, that serve another machine's CPython."""
    minors = sorted(range(OLDEST_GLIBC, newest_glibc + 1), reverse=newest_first)
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in minors]
    return [
        "--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp",
        f"--python-version={python}",
        *(f"--platform={p}" for p in (*platforms, f"manylinux2014_{machine}", f"linux_{machine}")),
    ]  # fmt: skip


def is_wheel(path: Path) -> bool:
    """Whether a file is a zip that can be read to its end."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False
