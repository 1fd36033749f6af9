"""The boards that bankai-edge knows: one TOML file each, in boards/ (docs/boards.md).

`find` and `fits` answer what an image, a bundle or a person asks first: which board, and does the
model fit there. Nothing here imports NumPy or the engine.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bankai_edge.boards.fit import Fit, fits, largest_context, sizes_that_fit
from bankai_edge.boards.schema import Board, Kind, load_board
from bankai_edge.errors import UsageError

__all__ = [
    "Board", "Fit", "board_of_usb", "boards", "find", "fits", "largest_context", "load_board",
    "sizes_that_fit",
]  # fmt: skip

HERE = Path(__file__).resolve().parent
# Installed beside this file; in a checkout at its root.
FOLDERS = (HERE, HERE.parent.parent / "boards")


@cache
def boards() -> tuple[Board, ...]:
    """Every known board, by id."""
    for folder in FOLDERS:
        files = sorted(folder.glob("*.toml"))
        if files:
            return tuple(load_board(path) for path in files)
    return ()


def find(name: str, *, kind: Kind | None = None) -> Board:
    """The board with this id, of this kind if one is asked for.

    Raises:
        UsageError: there is none (exit 2); the sentence lists those that there are.
    """
    known = [board for board in boards() if kind in (None, board.kind)]
    for board in known:
        if board.id == name:
            return board
    other = next((board for board in boards() if board.id == name), None)
    raise UsageError(
        f"board {name!r} is a {other.kind} board" if other else f"no board named {name!r}",
        expected=f"one of {', '.join(board.id for board in known)}",
        next_step="See them with: bankai-edge boards",
    )


def board_of_usb(vendor: int | None, product: int | None) -> Board | None:
    """The board whose serial port has these USB ids."""
    for board in boards():
        if (vendor, product) in board.usb:
            return board
    return None
