"""The nano model and its patches, as they ship with the package."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
NANO = _HERE / "nano.gguf"
ARITH = _HERE / "arith.bkp"
