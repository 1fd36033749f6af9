"""The boards that bankai-edge knows: one TOML file each, in boards/.

`name` is what people call it; `usb` lists its serial port's USB ids as "vid:pid", lower-case hex.
Other keys belong to those who build for the board, and are left alone here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Installed beside this file; in a checkout at its root.
FOLDERS = (HERE / "boards", HERE.parent / "boards")


@dataclass(frozen=True)
class Board:
    """One board. `usb` holds (vendor id, product id) pairs."""

    id: str
    name: str
    usb: tuple[tuple[int, int], ...] = ()


def load_board(path: Path) -> Board:
    """Read one board's file; raises ValueError for one that names no board."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    fields = tomllib.loads(path.read_text(encoding="utf-8"))
    name, ids = fields.get("name", path.stem), fields.get("usb", [])
    if not isinstance(name, str) or not isinstance(ids, list):
        raise ValueError(f"{path}: expected name = TEXT and usb = [TEXT, …]")
    return Board(path.stem, name, tuple(_usb_id(path, text) for text in ids))


def _usb_id(path: Path, text: object) -> tuple[int, int]:
    vendor, colon, product = str(text).partition(":")
    if not colon or len(vendor) != 4 or len(product) != 4:
        raise ValueError(f"{path}: {text!r} is not a USB id; expected hex digits as in 2e8a:000a")
    return int(vendor, 16), int(product, 16)


@cache
def boards() -> tuple[Board, ...]:
    """Every known board, by id."""
    for folder in FOLDERS:
        files = sorted(folder.glob("*.toml"))
        if files:
            return tuple(load_board(path) for path in files)
    return ()


def board_of_usb(vendor: int | None, product: int | None) -> Board | None:
    """The board whose serial port has these USB ids."""
    for board in boards():
        if (vendor, product) in board.usb:
            return board
    return None
