"""Boards: their files, and whether a model fits there by the engine's own plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from bankai_edge import _engine
from bankai_edge.boards import boards, find, fit, fits
from bankai_edge.errors import IncompatibleError, UsageError
from bankai_edge.model.memory import shape_of
from bankai_edge.model.weights import open_core
from bankai_edge.shapes import NANO, SHAPES


@pytest.mark.parametrize("kernel", [name for name, *_ in _engine.kernels()])
@pytest.mark.parametrize("size", [(48, 1, 1), (256, 64, 2), (100, 32, 4)])
def test_the_plan_is_the_engines_to_the_byte(
    kernel: str, size: tuple[int, int, int], nano_path: Path
) -> None:
    _, core = open_core(nano_path)
    planned = (fit.packed_bytes(NANO, kernel), fit.state_bytes(NANO, kernel, *size))
    assert planned == core.needs(kernel, *size)


def test_a_file_has_the_shape_that_it_is_listed_with(nano_path: Path) -> None:
    _, core = open_core(nano_path)
    found = shape_of(core)
    assert {**vars(found), "name": "nano"} == vars(NANO)


def test_an_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="rpi-zero2w") as refusal:
        find("rpi9")
    assert refusal.value.exit_code == 2
    assert all(board.id in str(refusal.value) for board in boards())


def test_a_model_too_large_is_refused_with_both_figures() -> None:
    assert fits(find("rpi4"), SHAPES["bonsai-1.7b"], 2048).ok
    too_large = fits(find("rpi3"), SHAPES["bonsai-8b"], 512)
    assert not too_large.ok and too_large.needed > too_large.available > 0
    with pytest.raises(IncompatibleError) as refusal:
        too_large.check()
    for figure in (too_large.needed, too_large.available):
        assert fit.size(figure) in str(refusal.value)
