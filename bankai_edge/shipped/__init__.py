"""What ships inside the package as data: the nano model, its patches, their cards.

No code but the paths; the code that opens a model is `bankai_edge.model`.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
NANO = _HERE / "nano.gguf"
ARITH = _HERE / "arith.bkp"
