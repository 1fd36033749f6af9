"""An agent killed at any moment loses nothing; one that works for long grows in nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.endurance import check_growth, run_cycles, run_kills

KILLS = 15
CYCLES = 100


def test_killed_at_random_times_under_load(tmp_path: Path) -> None:
    count = run_kills(tmp_path, KILLS)
    print(count)
    assert count.kills == KILLS and count.steps > KILLS


@pytest.mark.parametrize("mode", ["overlay", "in-place"])
def test_cycles_leave_nothing_behind(tmp_path: Path, mode: str) -> None:
    early, late = run_cycles(tmp_path, CYCLES, mode)
    print(f"{CYCLES} cycles, {mode}: {early}, then {late}")
    check_growth(early, late)
