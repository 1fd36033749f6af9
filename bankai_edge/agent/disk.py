"""The file-system operations that a store makes, one method each, so that tests can break them."""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """The machine's own file system. Every method may raise OSError."""

    def create(self, path: Path) -> int:
        """Create (or empty) a file for writing; return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def open(self, path: Path) -> int:
        """Open a file for writing as it is, creating it when absent; return its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of `data` to what was written through this descriptor."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def overwrite(self, descriptor: int, data: bytes) -> None:
        """Write all of `data` over the start of the file; what lies behind stays."""
        at = 0
        while at < len(data):
            at += os.pwrite(descriptor, data[at:], at)

    def sync(self, descriptor: int) -> None:
        """Force a file's bytes to the medium."""
        os.fdatasync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, at once."""
        source.rename(target)

    def remove(self, path: Path) -> None:
        """Delete a file."""
        path.unlink()

    def sync_directory(self, path: Path) -> None:
        """Force a directory's entries to the medium."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, path: Path) -> int:
        """Bytes that this user may still write to the file system of `path`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize
