"""Whatever the power does, the store is the old state or the new one, whole; see power_cut.py."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Literal

import pytest

from bankai_edge.agent.store import StoreError
from support.power_cut import (
    at_random,
    board,
    everywhere,
    logits,
    operations_of_life,
    patch,
    twice,
)
from support.sim_disk import PowerCut, SimDisk
from support.stores import peek

SEEDS = 60
STRIDE = 9


def test_the_sets_can_be_told_apart() -> None:
    """Else weights of another set than the recorded one would go unnoticed."""
    versions = ("a1", "a2", "b1", "b2")
    sets = [(), *((v,) for v in versions), ("a1", "b1"), ("a2", "b1"), ("a1", "b2"), ("a2", "b2")]
    assert len({logits(members) for members in sets}) == len(sets)
    assert len({patch(version) for version in versions}) == len(versions)


def test_a_cut_at_every_operation() -> None:
    operations, cuts = everywhere()
    print(f"{cuts} cuts: at each of {operations} operations")
    assert operations > 60 and cuts >= 6 * operations


@pytest.mark.parametrize("first", ["cut", "kill"])
def test_a_cut_soon_after_another(first: Literal["cut", "kill"]) -> None:
    cuts = twice(first, range(4, operations_of_life(), STRIDE))
    print(f"{cuts} cuts, every second one soon after a {first}")
    assert cuts > 150


def test_cuts_at_random() -> None:
    cuts = sum(at_random(seed) for seed in range(SEEDS))
    print(f"{cuts} cuts and kills in {SEEDS} random lives")
    assert cuts > SEEDS


class NoSync(SimDisk):
    def sync(self, descriptor: int) -> None:
        self.step()


class NoDirectorySync(SimDisk):
    def sync_directory(self, path: Path) -> None:
        self.step()


@pytest.mark.parametrize("disk", [NoSync, NoDirectorySync])
def test_a_disk_that_lies_is_found_out(disk: type[SimDisk]) -> None:
    """The harness itself: it sees what a missing sync would do."""
    with pytest.raises((AssertionError, StoreError)):
        everywhere(disk=disk)


def test_a_start_that_is_cut_again_and_again_gives_the_set_up() -> None:
    """Power that fails twice while a set is loaded cannot be told from a set that kills."""
    with board("overlay") as system:
        with system.agent() as device:
            for step in (("push", "a1"), ("push", "b1"), ("use", "b"), ("use", "a")):
                system.do(device, step)
        rng = random.Random(0)
        starts = 0
        for _ in range(2):
            for cut_at in itertools.count():  # the last operation of a start: it was healthy
                system.disk.arm(cut_at)
                try:
                    with system.agent():
                        pytest.fail("never cut after the start was counted")
                except PowerCut:
                    system.disk.restart("kept", "kept", rng)
                if peek(system.root).starts > starts:
                    starts += 1
                    break
        assert starts == 2
        with system.agent() as device:
            assert device.info()["active"] == ["b"]
            assert any("a did not survive 2 starts" in note for note in system.notes)
            system.do(device, ("use", "a"))  # a person may try again
        with system.agent() as device:
            assert device.info()["active"] == ["a"]
