"""What is compared with llama.cpp, and how: the texts, the synthetic shapes, the distances.

`agree_llama.py` runs both engines over these and writes tests/golden/llama_agreement.json; the
tests run this engine alone over the same and compare with that file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference import Float64

from bankai_edge.model import Model, Session
from bankai_edge.model.sampling import Sampler, Sampling
from bankai_edge.model.synth import write_model
from bankai_edge.probes.domains import FORMS, items
from bankai_edge.shapes import ModelShape

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "llama_agreement.json"
LIMIT = 24  # tokens of a greedy answer at most
KL_MOST, SAME_LEAST = 1e-3, 0.95
# KL grows with the square of a small distance, so its bound is the square of the others'.
RATIO_MOST = {"relative_l2": 1.5, "mean_abs": 1.5, "mean_kl": 1.5**2}
REMAKE = "run tools/make/agree_llama.py if model, forms or numeric contract changed on purpose"
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class SynthCase:
    """A random model and the random tokens that both engines read."""

    shape: ModelShape
    seed: int
    n_tokens: int

    @property
    def tokens(self) -> list[int]:
        """Token ids [n_tokens]."""
        raw = np.random.SFC64(self.seed).random_raw(self.n_tokens)
        return [int(r) for r in raw % np.uint64(self.shape.vocab)]

    def write(self, folder: Path) -> Path:
        """The model's file in `folder`."""
        path = folder / f"{self.shape.name}.gguf"
        write_model(path, self.shape, self.seed)
        return path


CASES = (
    SynthCase(ModelShape("plain", 4, 512, 1536, 8, 2, 64, 2003, 256), 11, 64),
    SynthCase(
        ModelShape("yarn", 4, 1024, 1536, 8, 4, 128, 1999, 256, tied=False, yarn=(4.0, 32)), 12, 80
    ),
)


@dataclass(frozen=True)
class SamplingCase:
    """Logits and a text so far, both random, and sampling options of every kind."""

    number: int

    def _random(self, n: int) -> NDArray[np.float64]:
        raw = np.random.SFC64(1000 + self.number).random_raw(n)
        out: NDArray[np.float64] = (raw >> np.uint64(11)) * 2.0**-53
        return out

    @property
    def logits(self) -> Rows:
        """Float32 [96], between -6 and 6."""
        return (self._random(96) * 12 - 6).astype(np.float32)

    @property
    def tokens(self) -> list[int]:
        """The text so far, longer than the penalty looks back."""
        return [int(t) for t in self._random(100) * 96]

    @property
    def sampling(self) -> Sampling:
        """Options; every other case without top-k, every third without penalty."""
        k, p, m, t, penalty = self._random(5)
        return Sampling(
            temperature=0.25 + 1.75 * t,
            top_k=int(1 + 40 * k) if self.number % 2 else 0,
            top_p=1.0 if self.number % 5 == 4 else 0.5 + 0.5 * p,
            min_p=0.0 if self.number % 4 == 3 else 0.2 * m,
            repeat_penalty=1.0 if self.number % 3 == 0 else 1 + penalty,
        )

    def choices(self) -> dict[str, float]:
        """Token -> probability, as this engine draws."""
        ids, p = Sampler(self.sampling, seed=0).choices(self.logits, self.tokens)
        return {str(i): round(float(q), 5) for i, q in zip(ids, p, strict=True)}


SAMPLING_CASES = tuple(map(SamplingCase, range(24)))


def texts(n: int) -> list[str]:
    """Questions with their answers, held out of training: n of every form, weak ones too."""
    return [i.prompt + i.answer for f in FORMS.values()
            for i in items(f.domain, f.name, "heldout", n)]  # fmt: skip


def prompts(n: int) -> list[str]:
    """Held-out questions, n of every form."""
    return [i.prompt for f in FORMS.values() for i in items(f.domain, f.name, "heldout", n)]


def our_logits(path: Path, token_lists: list[list[int]]) -> Rows:
    """This engine's logits [positions of all lists, vocab]."""
    session = Session(Model(path), ctx=max(map(len, token_lists)))
    return np.concatenate([session.logits(tokens) for tokens in token_lists])


def our_answers(path: Path, questions: list[str]) -> list[str]:
    """This engine's greedy texts."""
    session = Session(Model(path), ctx=128)
    return ["".join(session.generate(q, max_tokens=LIMIT)) for q in questions]


def float64_logits(path: Path, tokens: list[int]) -> NDArray[np.float64]:
    """The architecture as published, in float64: [len(tokens), vocab]."""
    rows: NDArray[np.float64] = Float64(path).logits(tokens)
    return rows


def log_softmax(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Natural logarithms of probabilities, [..., vocab]."""
    wide = rows.astype(np.float64)
    wide = wide - wide.max(axis=-1, keepdims=True)
    out: NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return out


def divergence(p: NDArray[Any], q: NDArray[Any]) -> NDArray[np.float64]:
    """KL(p || q) in nats of the distributions that two sets of logits stand for, [positions]."""
    log_p, log_q = log_softmax(p), log_softmax(q)
    out: NDArray[np.float64] = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    return out


def distance(rows: NDArray[Any], exact: NDArray[np.float64]) -> dict[str, float]:
    """How far logits are from exact ones: relative L2, mean absolute, mean KL (nats)."""
    off = rows.astype(np.float64) - exact
    return {
        "relative_l2": float(np.linalg.norm(off) / np.linalg.norm(exact)),
        "mean_abs": float(np.abs(off).mean()),
        "mean_kl": float(divergence(exact, rows).mean()),
    }


def missed(result: dict[str, Any]) -> list[str]:
    """The bounds that a golden file does not keep, in words."""
    nano, found = result["nano"], []
    if nano["positions"] < 500 or nano["questions"] < 300:
        found.append("too few positions or questions")
    if nano["mean_kl"] > KL_MOST:
        found.append(f"mean KL on the nano is {nano['mean_kl']:.2e}")
    if nano["same_token_ids"] != nano["texts"]:
        found.append(f"only {nano['same_token_ids']} of {nano['texts']} texts have equal tokens")
    if nano["same_text"] < SAME_LEAST * nano["questions"]:
        found.append(f"only {nano['same_text']} of {nano['questions']} greedy texts are equal")
    for case in result["synthetic"]:
        for key, most in RATIO_MOST.items():
            if (ratio := case["ratio"][key]) > most:
                found.append(f"{key} on {case['shape']['name']} is {ratio:.2f} times llama.cpp's")
    for case, choices in zip(SAMPLING_CASES, result["sampling"], strict=True):
        if not same_choices(case.choices(), choices):
            found.append(f"sampling case {case.number} leaves other tokens than llama.cpp")
    return found


def same_choices(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    """The same tokens in the same order, with the same probabilities to 5 digits."""
    return list(ours) == list(theirs) and all(abs(ours[t] - p) < 2e-5 for t, p in theirs.items())


def rows_hash(rows: Rows) -> str:
    """SHA-256 of float32 logits, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(rows, "<f4").tobytes()).hexdigest()


def texts_hash(answers: list[str]) -> str:
    """SHA-256 of texts, NUL between."""
    return hashlib.sha256("\0".join(answers).encode()).hexdigest()
