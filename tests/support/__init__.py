"""What the rooms of tests share; no test imports another test."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # of the checkout
VECTORS = ROOT / "tests/vectors"
GOLDEN = json.loads((ROOT / "tests/golden/nano.json").read_text())  # hashes of its logits
