"""Patch files on disk, signed or not."""

from __future__ import annotations

from pathlib import Path

from bankai_edge.errors import BankaiError
from bankai_edge.patch.bkp import Patch, decode
from bankai_edge.patch.sign import payload_of


def read_bytes(path: Path) -> bytes:
    """A file's bytes; BankaiError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BankaiError(
            f"{path} cannot be read ({error.strerror})", next_step="Check the path given"
        ) from error


def read_bare(path: Path) -> bytes:
    """A `.bkp` file's bytes, out of their envelope when they are signed (sign.payload_of).

    Raises BankaiError when it cannot be read, SignatureError (exit 5) for a damaged envelope.
    """
    return payload_of(read_bytes(path), str(path))


def read(path: Path) -> Patch:
    """The patch in a `.bkp` file, signed or not.

    Raises as `read_bare` does, and IncompatibleError (exit 4) when it is no `.bkp`.
    """
    return decode(read_bare(path), str(path))
