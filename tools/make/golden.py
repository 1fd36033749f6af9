"""Write tests/golden/nano.json: hashes of the nano's logits that every CPU must reproduce.

Run only when the model, the shipped patch or the numeric contract changed on purpose.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from bankai_edge.model import Model, Session
from bankai_edge.shipped import ARITH, NANO

PROMPTS = ["17+25=", "compute 4+44:", "turn on the kitchen light", "temp=87 limit=80"]


def logits_hash(session: Session, prompt: str) -> str:
    """SHA-256 of the float32 logits of every position of `prompt`."""
    rows = session.logits(session.model.tokenizer.encode(prompt))
    return hashlib.sha256(np.ascontiguousarray(rows, "<f4").tobytes()).hexdigest()


def main() -> None:
    """Compute and write the hashes."""
    session = Session(Model(NANO), ctx=64)
    cases = []
    for prompt in PROMPTS:
        session.use([])
        plain = logits_hash(session, prompt)
        session.use([ARITH.read_bytes()])
        cases.append({"prompt": prompt, "plain": plain, "arith": logits_hash(session, prompt)})
    golden = {"model_id": session.model.id.hex(), "cases": cases}
    path = Path(__file__).resolve().parents[2] / "tests" / "golden" / "nano.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
