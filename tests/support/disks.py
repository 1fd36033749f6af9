"""Disks that count a store's operations, and fail some of them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from bankai_edge.durable import Disk

OPERATIONS = (
    "create", "create_new", "open", "write", "overwrite", "sync", "sync_all", "sync_directory",
    "link", "symlink", "rename", "remove", "make_directory", "remove_directory",
)  # fmt: skip


class CountedDisk(Disk):
    """Calls `step` before every operation."""

    def __init__(self) -> None:
        self.count = 0

    def step(self) -> None:
        self.count += 1


def _counted(name: str) -> Callable[..., Any]:
    operation = getattr(Disk, name)

    def counted(disk: CountedDisk, *args: Any) -> Any:
        disk.step()
        return operation(disk, *args)

    return counted


for _name in OPERATIONS:
    setattr(CountedDisk, _name, _counted(_name))


class FailingDisk(CountedDisk):
    """Fails the operation `fail_at` (counted from `arm`), and with `lasting` all after it.

    A failing write has written half of its bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fail_at: int | None = None
        self.number = errno.ENOSPC
        self.lasting = False

    def arm(self, fail_at: int | None, number: int = errno.ENOSPC, lasting: bool = False) -> None:
        self.count, self.fail_at, self.number, self.lasting = 0, fail_at, number, lasting

    def step(self) -> None:
        at = self.count
        super().step()
        if self.fail_at is not None and (
            at == self.fail_at or (self.lasting and at > self.fail_at)
        ):
            raise OSError(self.number, "injected")

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            super().write(descriptor, data)
        except OSError:
            Disk.write(self, descriptor, data[: len(data) // 2])
            raise

    def overwrite(self, descriptor: int, data: bytes) -> None:
        try:
            super().overwrite(descriptor, data)
        except OSError:
            Disk.overwrite(self, descriptor, data[: len(data) // 2])
            raise
