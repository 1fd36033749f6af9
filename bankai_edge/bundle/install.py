"""Installing a bundle: check everything, unpack beside the old version, switch by one rename.

Needs Python's standard library only, and no network. Nothing is changed before the bundle, its
signature and this system have passed every check. A power cut at any instant leaves the old version
or the new one, whole; installing again completes what it cut short.
"""

from __future__ import annotations

import contextlib
import os
import platform
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bankai_edge import ed25519
from bankai_edge.bundle import startup
from bankai_edge.bundle.container import Bundle
from bankai_edge.bundle.manifest import MANIFEST, SIGNATURE, UNIT, Manifest, Member, damaged
from bankai_edge.bundle.unpack import BLOCK_BYTES, Wheel, unpack
from bankai_edge.bundle.versions import (
    STORE,
    Versions,
    existing_above,
    unwritable,
)
from bankai_edge.durable import Disk, sha256_of
from bankai_edge.errors import BankaiError, IncompatibleError, SignatureError, UsageError

SPARE_BYTES = 16 << 20  # that stay free for the system and the store


@dataclass(frozen=True)
class Target:
    """The system that is installed on: this one, or another of its kind below `root`."""

    root: Path
    machine: str
    python: str  # as "3.11"
    interpreter: str  # its path, seen from inside the root
    glibc: int | None  # minor version of 2.x; None: another C library

    @classmethod
    def here(cls, root: Path) -> Target:
        """What this interpreter tells of itself; raises UsageError when there is no such root."""
        if not root.is_dir():
            raise UsageError(f"--root {root} is no directory", expected="the root of a system")
        machine = platform.machine()
        if struct.calcsize("P") == 4:
            machine += " with 32-bit programs"
        library, _, release = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        minor = release.removeprefix("2.") if library == "glibc" else ""
        interpreter = Path(sys.executable).resolve()
        with contextlib.suppress(ValueError):
            if root != Path("/"):
                interpreter = Path("/") / interpreter.relative_to(root.resolve())
        return cls(
            root.resolve(),
            machine,
            f"{sys.version_info[0]}.{sys.version_info[1]}",
            str(interpreter),
            int(minor) if minor.isdigit() else None,
        )


@dataclass(frozen=True)
class Installed:
    """The outcome: the version that is run now, the one before, and whether anything was new."""

    version: str
    previous: str | None
    changed: bool


def install(
    bundle: Bundle,
    target: Target,
    *,
    key: bytes | None = None,
    disk: Disk | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Installed:
    """Install a bundle and run it from now on.

    `key` is the public key that must have signed it; without one, the keys that the version that is
    run brought along are asked. Raises IncompatibleError (exit 4) for a damaged bundle and for one
    of another machine or Python, SignatureError (5), BankaiError (1) when there is no room or the
    file system refuses. Whatever is raised, the version that was run still is.
    """
    versions = Versions(target.root, disk)
    manifest = bundle.manifest
    version = f"{manifest.id}-py{target.python}"
    check_signature(bundle, versions, key)
    check_target(manifest, target)
    if target.root != Path("/") and not (target.root / target.interpreter.lstrip("/")).exists():
        note(f"{target.root} has no {target.interpreter}, which the programs will be run by")
    note(f"checking {bundle.what}, {bundle.size_bytes / 2**20:,.0f} MiB")
    bundle.check()
    try:
        shared = None if versions.has(version) else shared_model(manifest, versions)
        if not versions.has(version):
            check_room(versions, needed_bytes(bundle, target, shared))
        with versions.locked():
            changed = versions.current() != version
            versions.clear_leftovers()
            if not versions.has(version):
                note(f"unpacking the packages for Python {target.python} and {manifest.model.name}")
                write_version(bundle, target, versions, version, shared)
            versions.switch(version)
            startup.make_links(target.root, versions.disk, note)
            try:
                versions.sweep()
            except OSError as error:
                note(f"{error.filename} could not be deleted ({error.strerror})")
            if changed:
                startup.restart(target.root, note)
            return Installed(version, versions.previous(), changed)
    except OSError as error:
        raise unwritable(versions.prefix, error) from error


def rollback(root: Path, *, disk: Disk | None = None, note: Callable[[str], None]) -> Installed:
    """Run the version that was run before the last install or rollback; raises BankaiError."""
    versions = Versions(root.resolve(), disk)
    if versions.current() is None:
        versions.rollback()  # which says what is missing
    try:
        with versions.locked():
            version = versions.rollback()
            startup.restart(versions.root, note)
            return Installed(version, versions.previous(), True)
    except OSError as error:
        raise unwritable(versions.prefix, error) from error


# ---- checks, which change nothing ---------------------------------------------------------------


def trusted_keys(versions: Versions) -> dict[str, bytes]:
    """The keys that the version which is run brought along, by name."""
    current = versions.current()
    return _keys(versions.path(current) / "keys", ".pub") if current else {}


def check_signature(bundle: Bundle, versions: Versions, key: bytes | None) -> None:
    """Raise SignatureError (exit 5) unless a key that counts here signed the bundle."""
    revoked = _keys(versions.root / STORE / "keys", ".revoked")
    signer = bundle.signature.public_key if bundle.signature else None
    for name, gone in revoked.items():
        if signer == gone:
            raise SignatureError(f"{bundle.what} is signed by {name}, whose key was revoked here")
    accepted = [key] if key else list(trusted_keys(versions).values())
    if not accepted or signer in accepted:
        return
    found = f"signed by {signer.hex()[:16]}" if signer else "not signed"
    wanted = " or ".join(key.hex()[:16] for key in accepted)
    raise SignatureError(
        f"{bundle.what} is {found}",
        expected=f"the signature of {wanted}",
        next_step="Make it with: bankai-edge image bundle --sign KEY",
    )


def check_target(manifest: Manifest, target: Target) -> None:
    """Raise IncompatibleError (exit 4) unless the bundle is for this machine and Python."""
    if target.machine != manifest.machine:
        raise IncompatibleError(
            f"the bundle is for {manifest.machine} (board {manifest.board})",
            expected=f"one for {target.machine}, which this system is",
            next_step="Make one with bankai-edge image bundle --board",
        )
    if target.python not in manifest.pythons:
        raise IncompatibleError(
            f"this is Python {target.python}",
            expected=f"Python {' or '.join(manifest.pythons)}, which the bundle has packages for",
            next_step=f"Run it with such a one, as in: python{min(manifest.pythons)} site.bkb",
        )
    if manifest.glibc and (target.glibc is None or target.glibc < manifest.glibc):
        found = f"glibc 2.{target.glibc}" if target.glibc is not None else "another C library"
        raise IncompatibleError(
            f"this system has {found}",
            expected=f"glibc 2.{manifest.glibc} or newer, as Debian and Raspberry Pi OS have it",
        )


def needed_bytes(bundle: Bundle, target: Target, shared: Path | None) -> int:
    """What a version will take on the disk; raises IncompatibleError for wheels that clash."""
    manifest, needed, paths = bundle.manifest, 0, set[str]()
    for wheel in _wheels(bundle, target):
        if paths & wheel.paths:
            raise damaged(bundle.what, f"two wheels hold {min(paths & wheel.paths)}")
        paths |= wheel.paths
        needed += wheel.needed_bytes
    for path in _plain_files(manifest):
        if not (shared and path == manifest.model.path):
            size = manifest.member(path).size_bytes
            needed += -(-size // BLOCK_BYTES) * BLOCK_BYTES
    return needed


def shared_model(manifest: Manifest, versions: Versions) -> Path | None:
    """The model of the version that is run, when it is the same file to the byte; else None."""
    current, wanted = versions.current(), manifest.member(manifest.model.path)
    there = versions.path(current or "") / wanted.path
    if not current or not there.is_file() or there.stat().st_size != wanted.size_bytes:
        return None
    return there if sha256_of(there) == wanted.sha256 else None


def check_room(versions: Versions, needed: int) -> None:
    """Raise BankaiError when the disk has no room for so many bytes."""
    place = existing_above(versions.prefix)
    free = versions.disk.free_bytes(place)
    if needed + SPARE_BYTES > free:
        raise BankaiError(
            f"{place} has {free >> 20:,} MiB free",
            expected=f"{-(-(needed + SPARE_BYTES) >> 20):,} MiB for a version beside the old one",
            next_step="Make room, then install again; nothing was changed.",
        )


# ---- the new version ----------------------------------------------------------------------------


def write_version(
    bundle: Bundle, target: Target, versions: Versions, version: str, shared: Path | None
) -> None:
    """Unpack a bundle as a version, whole or not at all; raises OSError.

    `shared` is a file with the bundle's model, which then gets a second name in place of a copy.
    """
    directory = versions.begin(version)
    try:
        _unpack(bundle, target, versions, version, directory, shared)
    except (Exception, KeyboardInterrupt):
        versions.disk.remove_tree(directory)  # it takes the room that may be what is missing
        raise
    versions.finish(version)


def _unpack(
    bundle: Bundle,
    target: Target,
    versions: Versions,
    version: str,
    directory: Path,
    shared: Path | None,
) -> None:
    manifest, disk = bundle.manifest, versions.disk
    runs_at = Path("/") / versions.path(version).relative_to(target.root) / "site"
    disk.make_directory(directory / "site")
    for wheel in _wheels(bundle, target):
        unpack(wheel, directory / "site", disk, runs_at)
    for path in _plain_files(manifest):
        disk.make_directories((directory / path).parent)
        if path != manifest.model.path or not _linked(shared, directory / path, disk):
            _copy(bundle, manifest.member(path), directory / path, disk)
    disk.write_file(directory / MANIFEST, manifest.encode())
    if bundle.signature:
        disk.write_file(directory / SIGNATURE, bundle.signature.encode())
    programs = {
        startup.PROGRAM: startup.program(target.interpreter),
        startup.AGENT: startup.agent_program(target.interpreter, manifest),
    }
    disk.make_directory(directory / "bin")
    for path, text in programs.items():
        disk.write_file(directory / path, text, 0o755)


def _wheels(bundle: Bundle, target: Target) -> Iterator[Wheel]:
    for path in bundle.manifest.pythons[target.python]:
        yield Wheel(bundle.read(path), f"{bundle.what}: {Path(path).name}")


def _plain_files(manifest: Manifest) -> Sequence[str]:
    """The files that a version holds as they are."""
    return (manifest.model.path, *manifest.patches, *manifest.keys, UNIT)


def _linked(shared: Path | None, path: Path, disk: Disk) -> bool:
    """Have two versions hold one file; False where there is none, or the file system cannot."""
    if shared is None:
        return False
    try:
        disk.link(shared, path)
    except OSError:
        return False
    return True


def _copy(bundle: Bundle, member: Member, path: Path, disk: Disk) -> None:
    descriptor = disk.create_new(path)
    try:
        for chunk in bundle.chunks(member):
            disk.write(descriptor, chunk)
    finally:
        disk.close(descriptor)


def _keys(directory: Path, end: str) -> dict[str, bytes]:
    """Public keys in PEM in a directory, by name; what is none counts for nothing."""
    found: dict[str, bytes] = {}
    for path in sorted(directory.glob(f"*{end}")):
        try:
            key = ed25519.public_key_of_pem(path.read_bytes().decode("latin-1"))
        except OSError:
            continue
        if key:
            found[os.fspath(path.name).removesuffix(end)] = key
    return found
