"""The model of a bundle or an image: checked, and compared with the board that shall run it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bankai_edge import _engine
from bankai_edge.boards import Board, fits
from bankai_edge.defaults import CONTEXT
from bankai_edge.model.weights import open_core, shape_of


@dataclass(frozen=True)
class Fitting:
    """A model that fits its board, at a context of `ctx` tokens."""

    core: _engine.Model
    name: str
    ctx: int

    @property
    def id(self) -> bytes:
        """The model's id."""
        return self.core.id


def model_that_fits(board: Board, path: Path, ctx: int | None, ram: int | None) -> Fitting:
    """Raises IncompatibleError (exit 4), with both figures, for one that is too large."""
    _, core = open_core(path)
    shape = shape_of(core, path.stem)
    ctx = ctx or min(shape.context, CONTEXT)
    fits(board, shape, ctx, ram=ram, file_bytes=path.stat().st_size).check()
    return Fitting(core, shape.name, ctx)
