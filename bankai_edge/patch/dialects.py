"""Other programs' patch files: what reads and writes each. A new one is a file and a line here."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from bankai_edge.patch import bankai_json
from bankai_edge.patch.bkp import Patch


class Dialect(Protocol):
    """A module that knows another program's files."""

    ENTRY: str
    """Where in a patch's provenance it keeps what only its own files have."""

    def read(self, data: bytes, file: Path, name: str | None = None) -> Patch:
        """An unbound patch; raises IncompatibleError (exit 4) for bytes that are no such file."""

    def write(self, patch: Patch) -> bytes:
        """The file; raises IncompatibleError for what it cannot say."""

    def origin(self, entry: object) -> str:
        """Where a patch comes from, given its provenance's entry, for people."""


DIALECTS: dict[str, Dialect] = {"bankai": bankai_json}
