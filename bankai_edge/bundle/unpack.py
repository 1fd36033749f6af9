"""From wheels to a folder of packages: what pip does, without pip, which a bare system lacks.

Bytecode is written along, and Python is started so that it writes none later: what a device runs
is then only ever written under an install's rules, and a power cut cannot leave half a module.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bankai_edge.bundle.manifest import damaged
from bankai_edge.durable import Disk

BLOCK_BYTES = 4096
_CHECKED_NEVER = 1  # a pyc's flags (PEP 552): it names its source's hash, which nobody compares
_SELDOM_IMPORTED = ("pygments/lexers/", "pygments/styles/", "pygments/formatters/")


class Wheel:
    """An opened wheel; `what` is what to call it in an error (IncompatibleError)."""

    def __init__(self, data: bytes, what: str) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise damaged(what, f"it is no wheel ({error})") from error
        self._what = what
        # File in the folder of packages -> member of the zip.
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            path = _installed(info.filename)
            if path is None or info.is_dir() or "__pycache__" in PurePosixPath(path).parts:
                continue  # bytecode is written here, for this Python
            if ".." in PurePosixPath(path).parts or path.startswith("/") or path in self._members:
                raise damaged(what, f"it holds {info.filename!r}")
            self._members[path] = info

    @property
    def paths(self) -> set[str]:
        """The files that it unpacks to."""
        return set(self._members)

    @property
    def needed_bytes(self) -> int:
        """What they take on a disk, bytecode included."""
        files = self._members.items()
        sizes = [info.file_size * (2 if _compiled(path) else 1) for path, info in files]
        return sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES + BLOCK_BYTES for size in sizes)

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """(path, bytes) of each file; raises IncompatibleError for a damaged one."""
        for path, info in self._members.items():
            try:
                yield path, self._zip.read(info)
            except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
                raise damaged(self._what, str(error)) from error


def unpack(wheel: Wheel, site: Path, disk: Disk, runs_at: Path) -> None:
    """Write a wheel's files and their bytecode below `site`, which will be run as `runs_at`.

    Raises OSError.
    """
    for path, data in wheel.contents():
        disk.make_directories((site / path).parent)
        disk.write_file(site / path, data)
        if _compiled(path):
            code = bytecode(data, runs_at / path)
            target = Path(importlib.util.cache_from_source(str(site / path), optimization=""))
            if code is not None:
                disk.make_directories(target.parent)
                disk.write_file(target, code)


def bytecode(source: bytes, path: Path) -> bytes | None:
    """The .pyc of a module that never looks at its source again; None where it does not compile."""
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None  # as template files and tests of syntax errors are; nothing imports those
    head = importlib.util.MAGIC_NUMBER + _CHECKED_NEVER.to_bytes(4, "little")
    return head + importlib.util.source_hash(source) + marshal.dumps(code)


def _compiled(path: str) -> bool:
    seldom = path.startswith(_SELDOM_IMPORTED) or "/tests/" in path
    return path.endswith(".py") and not seldom


def _installed(name: str) -> str | None:
    """Where a wheel's member goes, from the folder of packages; None when it goes elsewhere."""
    top, _, rest = name.partition("/")
    if not top.endswith(".data"):
        return name
    scheme, _, path = rest.partition("/")
    return path if scheme in ("purelib", "platlib") and path else None
