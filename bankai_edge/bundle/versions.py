"""Versions side by side, and the one link that says which of them is run.

    PREFIX/versions/ID/             a bundle, unpacked for one Python; never changed once it is run
    PREFIX/versions/ID/previous     a link to the version that was run before this one
    PREFIX/current                  a link to the version that is run

The rename that replaces `current` is the switch: it decides at once which version is run and, since
each version carries its own `previous`, which one a rollback returns to. A version gets its name
only when all of it is on the medium; what is being written or deleted has a name with a dot.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from bankai_edge.durable import Disk
from bankai_edge.errors import BankaiError

PREFIX = "opt/bankai-edge"
STORE = "var/lib/bankai-edge"


class Versions:
    """The versions below one root directory (`/`, or where another system is mounted)."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self.disk = disk or Disk()
        self.prefix = root / PREFIX
        self._versions = self.prefix / "versions"
        self._current = self.prefix / "current"

    # -- what is there -------------------------------------------------------------------------

    def current(self) -> str | None:
        """The id of the version that is run; None when there is none."""
        return self._target(self._current)

    def previous(self) -> str | None:
        """The id of the version that a rollback returns to; None when there is none."""
        current = self.current()
        found = current and self._target(self.path(current) / "previous")
        return found if found and found != current else None

    def path(self, version: str) -> Path:
        """Where a version lies."""
        return self._versions / version

    def has(self, version: str) -> bool:
        """Whether a version is there, whole."""
        return self.path(version).is_dir()

    def _target(self, link: Path) -> str | None:
        """The id in a link, where that version is there."""
        try:
            name = link.readlink().name
        except OSError:
            return None
        return name if not name.startswith(".") and self.has(name) else None

    # -- changes -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other installs out; raises BankaiError when one is under way.

        What is written meanwhile can be read by all: the service is another user than the one who
        installs it, whatever that one's umask is.
        """
        mask = os.umask(0o022)
        try:
            self.disk.make_directories(self._versions)
            with self._lock():
                yield
        finally:
            os.umask(mask)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = os.open(self._versions, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BankaiError(
                    f"another install is under way in {self.prefix}",
                    next_step="Wait until it has ended, then try again.",
                ) from error
            yield
        finally:
            os.close(descriptor)

    def begin(self, version: str) -> Path:
        """An empty directory to unpack a version into, gone at the next install if unfinished."""
        directory = self._versions / f".new-{version}"
        self.disk.make_directory(directory)
        return directory

    def finish(self, version: str) -> None:
        """Give what was unpacked its name, once every byte of it is on the medium."""
        self.disk.sync_all()
        self.disk.rename(self._versions / f".new-{version}", self.path(version))
        self.disk.sync_directory(self._versions)

    def switch(self, version: str) -> None:
        """Run this version from now on, and remember the present one as its `previous`."""
        before = self.current()
        if before != version:
            # Of no consequence yet: nobody asks the `previous` of a version that is not run.
            if before is not None:
                self.disk.point(self.path(version) / "previous", f"../{before}")
            self.disk.point(self._current, f"versions/{version}")
        else:
            # It may have been an install that was killed that switched, and only in the cache.
            self.disk.sync_directory(self.prefix)

    def rollback(self) -> str:
        """Run the previous version again; returns its id. A second rollback returns here.

        Raises BankaiError when there is none.
        """
        version = self.previous()
        if version is None:
            have = self.current()
            raise BankaiError(
                f"{self.prefix} has no previous version",
                expected="two installed ones" if have else "an installed one",
                next_step="Install a bundle: python3 site.bkb" if not have else "",
            )
        self.switch(version)
        return version

    def sweep(self) -> None:
        """Delete leftovers, and the versions that are neither run nor the one before."""
        wanted = {self.current(), self.previous()}
        for path in sorted(self._versions.iterdir()):
            if path.name in wanted:
                continue
            if not path.name.startswith("."):
                # One step from a whole version to none: never a half-deleted one under its name.
                hidden = path.with_name(f".old-{path.name}")
                self.disk.rename(path, hidden)
                self.disk.sync_directory(self._versions)
                path = hidden
            self.disk.remove_tree(path)

    def clear_leftovers(self) -> None:
        """Delete what installs that were cut short left behind."""
        for path in sorted(self._versions.iterdir()):
            if path.name.startswith("."):
                self.disk.remove_tree(path)


def existing_above(path: Path) -> Path:
    """The path itself or the nearest directory above it that is there."""
    while not path.exists():
        path = path.parent
    return path


def unwritable(path: Path, error: OSError) -> BankaiError:
    """The error of a file system that refuses."""
    step = "Check the medium."
    if error.errno in (errno.EACCES, errno.EPERM):
        step = "Run it as root: sudo python3 site.bkb, or name a place of your own with --root."
    elif error.errno == errno.ENOSPC:
        step = "Make room, then install again: what was run before still is."
    return BankaiError(
        f"{error.filename or path} cannot be written ({error.strerror})", next_step=step
    )
