"""Files that outlast a power cut: a disk's operations, replacing a file, which bytes it holds.

Standard library only: this file travels in bundles and runs on a bare system.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

from bankai_edge.errors import BankaiError


class Disk:
    """The machine's own file system, one method an operation, so that tests can break and cut them.

    Every method may raise OSError.
    """

    def create(self, path: Path) -> int:
        """Create (or empty) a file for writing; return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def create_new(self, path: Path, mode: int = 0o644) -> int:
        """Create a file that is not there yet; return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

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

    def sync_all(self) -> None:
        """Force everything that was written, everywhere, to the medium.

        One call for a thousand files: on an SD card, a sync of each would take minutes.
        """
        os.sync()

    def sync_directory(self, path: Path) -> None:
        """Force a directory's entries to the medium."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Give a descriptor back."""
        os.close(descriptor)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def symlink(self, text: str, path: Path) -> None:
        """Create a symbolic link that says `text`."""
        path.symlink_to(text)

    def rename(self, source: Path, target: Path) -> None:
        """Put a file, link or directory in the place of `target`, at once."""
        source.rename(target)

    def remove(self, path: Path) -> None:
        """Delete a file or a link."""
        path.unlink()

    def make_directory(self, path: Path) -> None:
        """Create one directory, readable by all."""
        path.mkdir(mode=0o755)

    def remove_directory(self, path: Path) -> None:
        """Delete an empty directory."""
        path.rmdir()

    def free_bytes(self, path: Path) -> int:
        """Bytes that this user may still write to the file system of `path`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    # -- made of the above ---------------------------------------------------------------------

    def make_directories(self, path: Path) -> None:
        """Create a directory and what is missing above it."""
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for directory in reversed(missing):
            self.make_directory(directory)

    def write_file(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """Create a file with these bytes."""
        descriptor = self.create_new(path, mode)
        try:
            self.write(descriptor, data)
        finally:
            self.close(descriptor)

    def point(self, path: Path, text: str) -> None:
        """Have the link `path` say `text`, whatever it said before, in one step that lasts."""
        temporary = path.with_name(f".{path.name}")
        if temporary.is_symlink() or temporary.exists():
            self.remove(temporary)
        self.symlink(text, temporary)
        self.rename(temporary, path)
        self.sync_directory(path.parent)

    def remove_tree(self, path: Path) -> None:
        """Delete a directory and everything in it, or a file."""
        if path.is_symlink() or not path.is_dir():
            self.remove(path)
            return
        for entry in sorted(path.iterdir()):
            self.remove_tree(entry)
        self.remove_directory(path)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BufferedWriter]:
    """A new file beside `path` that takes its place, all of it on the medium, at the block's end.

    When the block or the disk raises, as OSError, `path` is as before and nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def sha256_of(path: Path) -> str:
    """Which bytes a file holds: their SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises BankaiError when it cannot be written; what was there before is then still there.
    """
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> BankaiError:
    """The error of a file that the disk does not take."""
    return BankaiError(
        f"{path} cannot be written ({error.strerror})",
        next_step="Check the directory and the space on the disk",
    )
