"""The bit-exact matrix: one hash per (model, prompt, patch), whatever computes it.

Every kernel that runs here x 1..4 threads x prefill in chunks x patches as overlay and in place.
The kernels of other machines are held to the same hashes by test_aarch64.py and the C tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bankai_edge import _engine, _patch
from bankai_edge.bench.switching import random_patch
from bankai_edge.model import Model
from bankai_edge.model.kernels import available
from bankai_edge.model.synth import write_model
from bankai_edge.shapes import ModelShape
from bankai_edge.shipped import ARITH
from support import GOLDEN

KERNELS, THREADS, CHUNKS = available(), (1, 2, 3, 4), (1, 3, 16, 64)
# Nothing is a multiple of a kernel's tile: 401 rows, 3 blocks of columns, 3 kv heads of 64.
ODD = ModelShape("odd", 2, 384, 640, 6, 3, 64, 401, 256, yarn=(4.0, 64))


@pytest.fixture(scope="module")
def pools() -> dict[int, _engine.Pool | None]:
    return {n: _engine.Pool(n) if n > 1 else None for n in THREADS}


@pytest.fixture(scope="module", params=KERNELS)
def nano(request: pytest.FixtureRequest, nano_path: Path) -> Iterator[Model]:
    model = Model(nano_path, writable=True, kernel=request.param, threads=1)
    assert model.core.kernel == request.param
    yield model
    assert model.intact()


def logits_hash(state: _engine.State, tokens: np.ndarray, vocab: int) -> str:
    rows = np.empty(len(tokens) * vocab, np.float32)
    state.truncate(0)
    state.forward_all(tokens, rows)
    return hashlib.sha256(rows.astype("<f4").tobytes()).hexdigest()


def hashes(
    model: Model, state: _engine.State, tokens: np.ndarray, patch: bytes
) -> dict[str, list[str]]:
    """Hashes without the patch (before and after it) and with it (both ways of applying)."""
    vocab = model.shape.vocab
    plain = [logits_hash(state, tokens, vocab)]
    state.set_overlay(_patch.Overlay(model.core, [patch]))
    patched = [logits_hash(state, tokens, vocab)]
    state.set_overlay(None)
    _patch.swap(model.core, [], [patch])
    patched.append(logits_hash(state, tokens, vocab))
    _patch.swap(model.core, [patch], [])
    plain.append(logits_hash(state, tokens, vocab))
    return {"plain": plain, "patched": patched}


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("threads", THREADS)
def test_nano_has_its_golden_hashes(
    nano: Model, pools: dict[int, _engine.Pool | None], threads: int, chunk: int
) -> None:
    assert nano.id.hex() == GOLDEN["model_id"]
    state = _engine.State(nano.core, 64, chunk, pools[threads])
    for case in GOLDEN["cases"]:
        tokens = np.array(nano.tokenizer.encode(case["prompt"]), np.int32)
        found = hashes(nano, state, tokens, ARITH.read_bytes())
        assert found == {"plain": [case["plain"]] * 2, "patched": [case["arith"]] * 2}, case


@pytest.fixture(scope="module")
def odd_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("matrix") / "odd.gguf"
    write_model(path, ODD, 3)
    return path


@pytest.fixture(scope="module")
def odd_hashes(odd_path: Path) -> dict[str, list[str]]:
    """What the scalar kernel says, alone and one token at a time."""
    model = Model(odd_path, writable=True, kernel="scalar", threads=1)
    return hashes(model, _engine.State(model.core, 160, 1, None), odd_tokens(), odd_patch(model))


def odd_tokens() -> np.ndarray:
    return np.random.default_rng(5).integers(0, ODD.vocab, 150).astype(np.int32)


def odd_patch(model: Model) -> bytes:
    """Rows, and bits in rows of their own and in flipped ones."""
    return random_patch(model, 7, rows=93, bits=200)


@pytest.mark.parametrize("kernel", KERNELS)
def test_odd_shapes_and_fine_flips_agree_with_scalar(
    odd_path: Path,
    odd_hashes: dict[str, list[str]],
    pools: dict[int, _engine.Pool | None],
    kernel: str,
) -> None:
    assert odd_hashes["plain"][0] != odd_hashes["patched"][0]
    model = Model(odd_path, writable=True, kernel=kernel, threads=1)
    patch = odd_patch(model)
    for threads, chunk in ((1, 64), (2, 5), (3, 64), (4, 1)):
        state = _engine.State(model.core, 160, chunk, pools[threads])
        assert hashes(model, state, odd_tokens(), patch) == odd_hashes, (threads, chunk)
    assert model.intact()
