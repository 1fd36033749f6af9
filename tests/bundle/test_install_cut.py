"""Whatever the power does, an install leaves the old version or the new one; see install_cut.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.install_cut import FATES, at_random, everywhere
from support.sim_tree import SimTree

SEEDS = 12


def test_a_cut_at_every_operation() -> None:
    operations, cuts = everywhere()
    print(f"{cuts} cuts: at each of {operations} operations, {len(FATES)} fates each")
    assert operations > 150 and cuts == len(FATES) * operations


def test_cuts_at_random_and_again() -> None:
    cuts = sum(at_random(seed) for seed in range(SEEDS))
    print(f"{cuts} cuts in {SEEDS} random lives")
    assert cuts > 2 * SEEDS


class NoSync(SimTree):
    def sync_all(self) -> None:
        self.step()


class NoDirectorySync(SimTree):
    def sync_directory(self, path: Path) -> None:
        self.step()


class NoOrder(SimTree):
    """A file system that gives a new version its name before its bytes."""

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._parent(target).settle()

    def sync_all(self) -> None:
        self.step()


@pytest.mark.parametrize("disk", [NoSync, NoDirectorySync, NoOrder])
def test_a_file_system_that_lies_is_found_out(disk: type[SimTree]) -> None:
    """The harness itself: it sees what a missing sync would do."""
    with pytest.raises(AssertionError):
        everywhere((("random", "random"),), disk)
