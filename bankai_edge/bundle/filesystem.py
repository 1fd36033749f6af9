"""The file-system operations that an install makes, one method each, so that tests can cut them."""

from __future__ import annotations

import os
from pathlib import Path


class FileSystem:
    """The machine's own file system. Every method may raise OSError."""

    def make_directory(self, path: Path) -> None:
        """Create one directory, readable by all."""
        path.mkdir(mode=0o755)

    def create(self, path: Path, mode: int = 0o644) -> int:
        """Create a file that is not there yet; return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

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

    def remove_directory(self, path: Path) -> None:
        """Delete an empty directory."""
        path.rmdir()

    def sync(self) -> None:
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
        descriptor = self.create(path, mode)
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
