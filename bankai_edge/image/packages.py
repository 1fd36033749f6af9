"""Debian's arm64 packages and PyPI's aarch64 wheels: fetched, checked, never installed.

apt runs with a state of its own and downloads only; no maintainer script runs, and nothing on this
machine changes. What was fetched is written down in a lock: name, version, SHA-256. A build that
finds all of it in the cache asks no network, and a lock given to another build fetches the same.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from bankai_edge.bundle.wheels import OWN, download, requirements, wheel_file
from bankai_edge.durable import sha256_of, write_atomically
from bankai_edge.errors import BankaiError, IncompatibleError, UsageError
from bankai_edge.image.programs import find, run, versions

ARCHITECTURE = "arm64"
SUITE = "bookworm"  # Debian 12, whose Python is Raspberry Pi OS's
PYTHON = "3.11"
COMPONENTS = "main non-free-firmware"
LOCK = "lock.json"
WHEELS = ("dist", ".")  # where this package's is looked for when none is named


@dataclass(frozen=True)
class Fetched:
    """A package file that was asked for, and exactly which bytes came. `sha256` is in hex."""

    name: str
    version: str
    file: str
    sha256: str


@dataclass
class Lock:
    """Which files stand for which names."""

    packages: dict[str, Fetched] = field(default_factory=dict)
    wheels: dict[str, tuple[Fetched, ...]] = field(default_factory=dict)  # by what was required

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads again."""
        return {
            "packages": {name: asdict(one) for name, one in sorted(self.packages.items())},
            "wheels": {
                name: [asdict(one) for one in several]
                for name, several in sorted(self.wheels.items())
            },
        }

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Lock:
        """Raises KeyError or TypeError for anything but a lock."""
        return Lock(
            {name: Fetched(**one) for name, one in fields["packages"].items()},
            {
                name: tuple(Fetched(**one) for one in several)
                for name, several in fields["wheels"].items()
            },
        )


class Cache:
    """The folder of what was fetched. `say` is told, in one line, what is about to be asked.

    `locked` is a manifest whose files, and no others, may be used; `update` asks anew for all.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sources: Path | None = None,
        locked: Path | None = None,
        update: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder = folder
        self._sources = sources
        self._say = say
        self._strict = locked is not None
        self._asked_apt = False
        for part in ("debs", "wheels", "apt/lists/partial", "apt/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self._known = Lock()
        path = locked or folder / LOCK
        if locked or (path.exists() and not update):
            self._known, tools = _read_lock(path)
            self._compare(tools)
        self._used = Lock()

    def _compare(self, tools: Mapping[str, str]) -> None:
        here = versions() if tools else {}
        other = [f"{name} {here.get(name)} and not {tools[name]}" for name in sorted(tools)
                 if here.get(name) != tools[name]]  # fmt: skip
        if other:
            self._say(f"other build tools than the manifest's: {', '.join(other)}")

    def used(self) -> Lock:
        """What this build has taken so far."""
        return self._used

    def save(self) -> None:
        """Remember what was resolved, for the next build."""
        both = Lock(
            {**self._known.packages, **self._used.packages},
            {**self._known.wheels, **self._used.wheels},
        )
        write_atomically(self.folder / LOCK, json.dumps(both.as_json(), indent=1).encode())

    # -- Debian --------------------------------------------------------------------------------

    def package(self, name: str) -> Path:
        """The .deb of one package, as apt names it (NAME or NAME/SUITE); raises BankaiError."""
        return self.packages([name])[0]

    def packages(self, names: Sequence[str]) -> list[Path]:
        """The .deb files of several packages, without what they depend on."""
        folder = self.folder / "debs"
        missing = [name for name in names if not self._at_hand(self._known.packages.get(name))]
        for name in names:
            if name not in missing:
                self._used.packages[name] = self._known.packages[name]
        if missing:
            self._used.packages.update(self._download(missing, folder))
        return [folder / self._used.packages[name].file for name in names]

    def _at_hand(self, known: Fetched | None) -> bool:
        if known is None:
            return False
        folder = "wheels" if known.file.endswith(".whl") else "debs"
        path = self.folder / folder / known.file
        return path.exists() and sha256_of(path) == known.sha256

    def _download(self, names: Sequence[str], folder: Path) -> dict[str, Fetched]:
        exact = {name: self._exact(name) for name in names}
        self._update_apt()
        self._say(f"fetching {len(names)} packages of Debian {SUITE} for {ARCHITECTURE}")
        before = set(folder.iterdir())
        run("apt-get", *self._options(), "-qq", "download", *exact.values(), cwd=folder)
        found = {}
        new = {_field(path, "Package"): path for path in set(folder.iterdir()) - before}
        for name in names:
            bare = name.partition("/")[0]
            path = new.get(bare) or self._newest(folder, bare)
            found[name] = Fetched(name, _field(path, "Version"), path.name, sha256_of(path))
            self._refuse_other(found[name], self._known.packages.get(name))
        return found

    def _exact(self, name: str) -> str:
        known = self._known.packages.get(name)
        if known is not None and self._strict:
            return f"{name.partition('/')[0]}={known.version}"
        if self._strict:
            raise IncompatibleError(
                f"the manifest does not name the package {name}",
                next_step="Use the manifest of an image for the same board and options.",
            )
        return name

    def _refuse_other(self, found: Fetched, known: Fetched | None) -> None:
        if self._strict and known is not None and found.sha256 != known.sha256:
            raise IncompatibleError(
                f"{found.file} has the SHA-256 {found.sha256}",
                expected=f"{known.sha256}, as locked",
            )

    @staticmethod
    def _newest(folder: Path, package: str) -> Path:
        files = sorted(folder.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime_ns)
        if not files:
            raise BankaiError(f"apt fetched no file of {package}")
        return files[-1]

    def _update_apt(self) -> None:
        if self._asked_apt:
            return
        self._asked_apt = True
        self._say("asking apt which packages there are")
        apt = self.folder / "apt"
        (apt / "status").touch()
        text = self._sources.read_text() if self._sources else host_sources()
        write_atomically(apt / "sources.list", text.encode())
        run("apt-get", *self._options(), "-qq", "update")

    def _options(self) -> list[str]:
        apt = self.folder / "apt"
        options = {
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures::": ARCHITECTURE,
            "APT::Sandbox::User": "",  # as this user: no other may enter the cache
            "Debug::NoLocking": "true",
            "Acquire::Languages": "none",
            "Dir::State": str(apt),
            "Dir::State::status": str(apt / "status"),
            "Dir::Cache": str(apt),
            "Dir::Etc::sourcelist": str(apt / "sources.list"),
            "Dir::Etc::sourceparts": "/dev/null",
        }
        return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]

    # -- PyPI ----------------------------------------------------------------------------------

    def wheels(self, own: Path, extra: str = "") -> list[Path]:
        """The aarch64 wheels that `own`, a wheel of this package, needs; without itself."""
        key = " ".join(requirements(own, extra))
        folder = self.folder / "wheels"
        known = self._known.wheels.get(key)
        if known is None or not all(self._at_hand(one) for one in known):
            if self._strict and known is None:
                raise IncompatibleError(
                    f"the manifest names no wheels for {key}",
                    next_step="Use the manifest of an image with the same options.",
                )
            known = self._pip(key.split(" ") if known is None else [_pin(one) for one in known])
            for now, before in zip(known, self._known.wheels.get(key, known), strict=False):
                self._refuse_other(now, before)
        self._used.wheels[key] = known
        return [folder / one.file for one in known]

    def _pip(self, wanted: Sequence[str]) -> tuple[Fetched, ...]:
        self._say(f"fetching wheels for aarch64: {' '.join(wanted)}")
        folder = self.folder / "wheels"
        fresh = folder / "fresh"
        fresh.mkdir(exist_ok=True)
        for leftover in fresh.iterdir():
            leftover.unlink()
        fetched = download(
            wanted, PYTHON, "aarch64", fresh, newest_first=True,
            next_step="Build once with a network; later builds use what was fetched.",
        )  # fmt: skip
        found = []
        for path in fetched:
            wheel = wheel_file(path)
            found.append(Fetched(wheel.name, wheel.version, path.name, sha256_of(path)))
            path.replace(folder / path.name)
        return tuple(found)


def host_sources() -> str:
    """This machine's own sources of Debian 12, as a sources.list with what an image needs.

    Raises BankaiError when it has none.
    """
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)"
    listed = run("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    lines = set()
    for line in listed.splitlines():
        uri, release, component, *key = line.split(" ")
        if component != "main" or release not in (SUITE, f"{SUITE}-updates", f"{SUITE}-security"):
            continue
        signed = f"[signed-by={key[0]}] " if key and key[0].startswith("/") else ""
        lines.add(f"deb {signed}{uri} {release} {COMPONENTS}")
        if release == SUITE:
            lines.add(f"deb {signed}{uri} {release}-backports {COMPONENTS}")
    if not lines:
        raise BankaiError(
            f"apt here has no source of Debian 12 ({SUITE})",
            next_step="Give one with --sources FILE, in the form of /etc/apt/sources.list.",
        )
    return "\n".join(sorted(lines)) + "\n"


def members(deb: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """What a .deb unpacks to, in its order: (entry, its bytes for a file). Nothing is written."""
    program = find("dpkg-deb")
    assert program is not None
    with subprocess.Popen([program, "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as unpack:
        assert unpack.stdout is not None
        try:
            with tarfile.open(fileobj=unpack.stdout, mode="r|") as archive:
                for entry in archive:
                    yield entry, archive.extractfile(entry) if entry.isfile() else None
        except tarfile.TarError as error:
            raise BankaiError(f"{deb.name} cannot be unpacked: {error}") from error
        unpack.stdout.read()
    if unpack.returncode:
        raise BankaiError(f"{deb.name} cannot be unpacked (dpkg-deb: {unpack.returncode})")


def depends(deb: Path, prefix: str) -> str:
    """The first package with this prefix that a package depends on."""
    for part in _field(deb, "Depends").split(","):
        name = part.strip().partition(" ")[0]
        if name.startswith(prefix):
            return name
    raise BankaiError(f"{deb.name} depends on no {prefix}*")


def check_wheel(wheel: Path) -> None:
    """Raise IncompatibleError unless `wheel` is this package's for aarch64 and Python 3.11."""
    if not wheel.is_file():
        raise BankaiError(f"there is no wheel {wheel}")
    try:
        named = wheel_file(wheel)
        right = named.name == OWN and named.serves(PYTHON, "aarch64")
    except UsageError:
        right = False
    if not right:
        raise IncompatibleError(
            f"{wheel.name} is for another machine, Python or package",
            expected="bankai_edge-*-cp311-*_aarch64.whl",
            next_step="Build it with tools/check/build_aarch64.py.",
        )


def find_wheel() -> Path:
    """The newest aarch64 wheel of this package in ./dist or here; raises BankaiError."""
    found = [
        path for folder in WHEELS for path in Path(folder).glob("bankai_edge-*_aarch64.whl")
    ]  # fmt: skip
    if not found:
        raise BankaiError(
            "no aarch64 wheel of bankai-edge in ./dist",
            next_step="Name one with --wheel, or make it with tools/check/build_aarch64.py.",
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def _read_lock(path: Path) -> tuple[Lock, dict[str, str]]:
    """A manifest's or a cache's lock, and the versions of the tools that a manifest names."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Lock.from_json(fields.get("lock", fields)), dict(fields.get("tools", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BankaiError(
            f"{path} is not the manifest of an image ({error})", expected="JSON with its lock"
        ) from error


def _pin(one: Fetched) -> str:
    return f"{one.name}=={one.version}"


def _field(deb: Path, name: str) -> str:
    return run("dpkg-deb", "-f", deb, name).strip()
