"""Making a bundle: the files of a site, the manifest over them, the signature over that.

The same inputs give the same bytes: order, times and modes are fixed, and nothing of this machine
goes in.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import bankai_edge
from bankai_edge import __version__
from bankai_edge.boards import Board
from bankai_edge.bundle import container, startup
from bankai_edge.bundle.container import SIGNED_HEAD, Bundle, Part, Signature, part_of
from bankai_edge.bundle.fitting import Fitting
from bankai_edge.bundle.manifest import (
    MANIFEST,
    MAX_BYTES,
    SIGNATURE,
    UNIT,
    Manifest,
    Member,
    ModelEntry,
    check,
)
from bankai_edge.bundle.wheels import is_wheel, wheel_file
from bankai_edge.durable import not_written, replacing
from bankai_edge.errors import BankaiError, IncompatibleError, SignatureError, UsageError
from bankai_edge.patch import files
from bankai_edge.patch import sign as signing
from bankai_edge.patch.bind import bind
from bankai_edge.patch.bkp import decode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MACHINES = {"aarch64": "aarch64", "x86-64": "x86_64"}  # a board's architecture -> uname's word
# What runs on a bare system, out of the bundle itself: nothing but the standard library.
INSTALLER = (
    "__init__.py", "durable.py", "ed25519.py", "errors.py", "bundle/__init__.py",
    "bundle/bootstrap.py", "bundle/container.py", "bundle/install.py", "bundle/listing.py",
    "bundle/manifest.py", "bundle/startup.py", "bundle/unpack.py", "bundle/versions.py",
)  # fmt: skip
_MAIN = """# Installs this bundle: python3 site.bkb (see --help). Any Python 3 can read these lines.
import sys

if sys.version_info < ({oldest}):
    sys.stderr.write(
        "bankai-edge: this is Python %d.%d; expected Python {pythons}\\n" % sys.version_info[:2]
    )
    sys.exit(4)

from pathlib import Path

from bankai_edge.bundle.bootstrap import main

sys.exit(main(Path(sys.argv[0]), sys.argv[1:]))
"""


@dataclass(frozen=True)
class Contents:
    """What goes into a bundle. `keys` are (name, public key); `pythons` the wheels for each."""

    board: Board
    model: Path
    model_name: str
    model_id: bytes
    ctx: int
    pythons: dict[str, list[Path]]
    patches: Sequence[Path] = ()
    keys: dict[str, bytes] = field(default_factory=dict)
    policy: str = "open"
    serial: Sequence[str] = ()
    agent: Sequence[str] = ()


def machine_of(board: Board) -> str:
    """What `uname -m` says on a board; raises UsageError where no bundle can be for it."""
    machine = MACHINES.get(board.cpu.architecture) if board.cpu else None
    if machine is None:
        raise UsageError(
            f"{board.id} runs no 64-bit Linux that a bundle could be installed on",
            expected="a board with aarch64 or x86-64 (bankai-edge boards)",
        )
    return machine


def read_patches(folder: Path, policy: str, keys: Sequence[bytes]) -> list[Path]:
    """The patches of a directory, in the order of their names, as the device will take them.

    Raises UsageError for a directory with none or with two of a name, IncompatibleError (exit 4)
    for a file that is no patch, SignatureError (5) for one that the policy would refuse there.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.bkp")):
        data = files.read_bytes(path)
        name = decode(signing.payload_of(data, str(path)), str(path)).name
        if name in found:
            raise UsageError(f"{path} and {found[name]} are both named {name}")
        found[name] = path
        if policy == "require":
            signer = signing.unwrap(data).public_key if signing.is_signed(data) else None
            if signer not in keys:
                by = f"signed by {signing.short_key(signer)}" if signer else "not signed"
                raise SignatureError(
                    f"{path} is {by}",
                    expected="the signature of a --trust key, as the policy require asks",
                    next_step="Sign it with bankai-edge patch sign, or choose --policy warn",
                )
    if not found:
        raise UsageError(f"--patches {folder} holds no patch", expected="files that end in .bkp")
    return [found[name] for name in sorted(found)]


def check_bound(patches: Sequence[Path], model: Fitting) -> None:
    """Raise IncompatibleError (exit 4) for a patch that the agent with this model would refuse."""
    for path in patches:
        patch = files.read(path)
        if not patch.bound:
            raise IncompatibleError(
                f"{path} names no model, so no device takes it",
                next_step="Bind it: bankai-edge patch bind",
            )
        bind(patch, model)  # which only checks one that is bound


def make(out: Path, contents: Contents, key: Ed25519PrivateKey | None = None) -> Manifest:
    """Write a bundle, signed if `key` is given; returns its manifest.

    Raises BankaiError when a file cannot be read or the bundle not be written, IncompatibleError
    (exit 4) when it would be too large; `out` is then as before.
    """
    parts, members = [], []
    for path, source in sorted(_members(contents)):
        part, digest = _measured(path, source)
        parts.append(part)
        members.append(Member(path, part.size_bytes, digest))
    # The model last, so that the installer and the manifest lie together at the front.
    model = f"model/{_safe(contents.model.name)}"
    order = sorted(range(len(parts)), key=lambda i: parts[i].path == model)
    manifest = _manifest(contents, model, [members[i] for i in order])
    encoded = manifest.encode()
    head = [part_of(MANIFEST, encoded)]
    if key is not None:
        signature = Signature(key.public_key().public_bytes_raw(), key.sign(SIGNED_HEAD + encoded))
        head.append(part_of(SIGNATURE, signature.encode()))
    _write(out, [*head, *(parts[i] for i in order)])
    return manifest


def _manifest(contents: Contents, model: str, members: list[Member]) -> Manifest:
    wheels = [wheel_file(path) for paths in contents.pythons.values() for path in paths]
    manifest = Manifest(
        version=__version__,
        board=contents.board.id,
        machine=machine_of(contents.board),
        glibc=max((wheel.glibc for wheel in wheels), default=0),
        pythons={
            python: tuple(sorted(f"wheels/{path.name}" for path in paths))
            for python, paths in sorted(contents.pythons.items())
        },
        model=ModelEntry(model, contents.model_name, contents.model_id.hex(), contents.ctx),
        patches=tuple(m.path for m in members if m.path.startswith("patches/")),
        keys=tuple(m.path for m in members if m.path.startswith("keys/")),
        policy=contents.policy,
        agent=(*(word for port in contents.serial for word in ("--serial", port)), *contents.agent),
        files=tuple(members),
    )
    total = sum(member.size_bytes for member in members)
    if total > MAX_BYTES:
        raise IncompatibleError(
            f"the bundle would have {total:,} bytes", expected=f"at most {MAX_BYTES:,}"
        )
    check(manifest)
    return manifest


def _members(contents: Contents) -> Iterator[tuple[str, Path | bytes]]:
    """(path in the bundle, the file or its bytes), in no order."""
    pythons = sorted(contents.pythons, key=lambda python: int(python.partition(".")[2]))
    oldest = ", ".join(pythons[0].split("."))
    yield "__main__.py", _MAIN.format(oldest=oldest, pythons=" or ".join(pythons)).encode()
    package = Path(bankai_edge.__file__).parent
    for name in INSTALLER:
        yield f"bankai_edge/{name}", package / name
    yield UNIT, startup.unit(contents.serial)
    for wheel in {
        path.name: path for paths in contents.pythons.values() for path in paths
    }.values():
        if not is_wheel(wheel):
            raise IncompatibleError(f"{wheel} is damaged", next_step="Fetch it again: --refresh")
        yield f"wheels/{wheel.name}", wheel
    for path in contents.patches:
        yield f"patches/{decode(files.read_bare(path), str(path)).name}.bkp", path
    for name, key in contents.keys.items():
        yield f"keys/{name}.pub", _pem(key)
    yield f"model/{_safe(contents.model.name)}", contents.model


def _pem(key: bytes) -> bytes:
    from bankai_edge.patch.keys import public_pem

    return public_pem(key)


def _safe(name: str) -> str:
    """A file name in the letters that a bundle's paths are made of."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name).lstrip(".-+") or "model.gguf"


def _measured(path: str, source: Path | bytes) -> tuple[Part, str]:
    """A part, and the SHA-256 of its bytes in hex."""
    if isinstance(source, bytes):
        return part_of(path, source), hashlib.sha256(source).hexdigest()
    digest, crc, size = hashlib.sha256(), 0, 0
    for chunk in _chunks(source):
        digest.update(chunk)
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
    return Part(path, size, crc, lambda: _chunks(source)), digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(container.PIECE_BYTES):
                yield chunk
    except OSError as error:
        raise BankaiError(f"{path} cannot be read ({error.strerror})") from error


def _write(out: Path, parts: Sequence[Part]) -> None:
    try:
        with replacing(out) as file:
            container.write(file, parts)
            file.flush()
            with Bundle(Path(file.name)) as written:  # a file may have changed while it was read
                written.check()
    except OSError as error:
        raise not_written(out, error) from error
