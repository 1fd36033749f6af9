"""Golden logits: hashes that every machine has to get, to the last bit (ARCHITECTURE.md).

    python -m bankai_edge.bench.golden MODEL [PATCH...]

prints, as JSON, one case a prompt: the SHA-256 of its float32 logits, little-endian, under the
pristine model ("plain") and under each patch, by its name. An image runs it when its kernel is
told `bankai.check`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bankai_edge.model import Model, Session
from bankai_edge.patch import files

PROMPTS = ("17+25=", "compute 4+44:", "turn on the kitchen light", "temp=87 limit=80")
CTX = 64


def golden(model_path: Path, patches: Sequence[Path]) -> dict[str, Any]:
    """The model's id, and for each prompt a hash for each state of the weights."""
    model = Model(model_path)
    session = Session(model, ctx=min(CTX, model.shape.context))
    states: dict[str, list[bytes]] = {"plain": []}
    for path in patches:
        states[files.read(path).name] = [files.read_bare(path)]
    cases: list[dict[str, str]] = [{"prompt": prompt} for prompt in PROMPTS]
    for name, members in states.items():
        session.use(members)
        for case in cases:
            logits = session.logits(model.tokenizer.encode(case["prompt"]))
            case[name] = hashlib.sha256(np.ascontiguousarray(logits, "<f4").tobytes()).hexdigest()
    return {"model_id": model.id.hex(), "cases": cases}


if __name__ == "__main__":
    print(json.dumps(golden(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])))
