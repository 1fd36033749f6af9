"""The promotion gate: noise, bought gains and harmed controls do not ship, whatever they fix."""

from __future__ import annotations

import pytest

from bankai_edge.judge.evaluate import Change, Verdict
from bankai_edge.search.climb import promotion

QUIET = (8000, 7950, 5, 3)


def verdict(
    target: tuple[int, int, int, int], control: tuple[int, int, int, int] = QUIET
) -> Verdict:
    """From (n, before, fixed, broken) each."""

    def change(n: int, before: int, fixed: int, broken: int) -> Change:
        return Change(n, before, before + fixed - broken, fixed, broken)

    return Verdict(change(*target), change(*control))


@pytest.mark.parametrize(
    ("target", "control"),
    [
        ((400, 240, 140, 3), QUIET),
        ((60, 30, 7, 0), (20, 20, 0, 0)),
        ((60, 30, 20, 1), (20, 20, 0, 0)),  # a small pack may lose one
        ((400, 24, 120, 6), QUIET),  # a missing skill: twenty fixed for each broken
        ((400, 240, 140, 0), (8000, 7950, 23, 23)),
    ],
)
def test_what_helps_and_harms_nothing_ships(
    target: tuple[int, int, int, int], control: tuple[int, int, int, int]
) -> None:
    assert promotion.refusals(verdict(target, control)) == []


@pytest.mark.parametrize(
    ("target", "control", "why"),
    [
        ((250, 40, 26, 22), QUIET, "may be chance"),
        ((60, 30, 6, 0), (20, 20, 0, 0), "may be chance"),
        ((400, 240, 0, 0), QUIET, "may be chance"),
        ((400, 240, 140, 4), QUIET, "right targets broken"),
        ((400, 24, 120, 7), QUIET, "right targets broken"),
        ((400, 240, 140, 0), (8000, 7950, 3, 4), "controls lose"),
        ((400, 240, 140, 0), (8000, 7950, 30, 24), "right controls broken"),
    ],
)
def test_noise_and_bought_gains_are_refused(
    target: tuple[int, int, int, int], control: tuple[int, int, int, int], why: str
) -> None:
    found = promotion.refusals(verdict(target, control))
    assert any(why in reason for reason in found)
