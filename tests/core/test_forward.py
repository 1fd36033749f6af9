"""The forward pass against the NumPy judge, and the golden hashes of the bit-exact contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reference import Exact, Float64, logits_hash

from bankai_edge import _engine
from bankai_edge.errors import UsageError
from bankai_edge.model import Model, Session
from bankai_edge.shipped import ARITH
from support import GOLDEN


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


def test_logits_equal_the_numpy_judge_to_the_last_bit(model: Model, nano_path: Path) -> None:
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, model.shape.vocab, 24).tolist()
    got = Session(model, ctx=32).logits(tokens)
    judge = Exact(nano_path)
    want = np.array([judge.token(t) for t in tokens])
    assert np.array_equal(got.view(np.uint32), want.view(np.uint32))


def test_int8_activations_stay_near_float64(model: Model, nano_path: Path) -> None:
    """The published architecture in float64 bounds what quantised activations cost."""
    tokens = model.tokenizer.encode("what is 17 plus 25?")
    got = Session(model, ctx=64).logits(tokens)
    want = Float64(nano_path).logits(tokens)
    error = np.abs(got - want).max() / np.abs(want).max()
    assert error < 0.03, error
    assert (got.argmax(axis=1) == want.argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize("mode", ["overlay", "in-place"])
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: c["prompt"])
def test_golden_hash(nano_path: Path, case: dict[str, str], mode: str) -> None:
    """One hash per (model, prompt, patch), whatever the machine and the way of applying."""
    model = Model(nano_path, writable=mode == "in-place")
    assert model.id.hex() == GOLDEN["model_id"]
    session = Session(model, ctx=64, mode=mode)  # type: ignore[arg-type]
    tokens = model.tokenizer.encode(case["prompt"])
    assert logits_hash(session.logits(tokens)) == case["plain"]
    session.use([ARITH.read_bytes()])
    assert logits_hash(session.logits(tokens)) == case["arith"]
    session.use([])
    assert logits_hash(session.logits(tokens)) == case["plain"]
    assert session.weights_intact()


@pytest.mark.parametrize("batch", [1, 3, 7, 32])
def test_prefill_in_any_chunks_gives_the_same_bits(model: Model, batch: int) -> None:
    tokens = np.arange(40, 61, dtype=np.int32)
    whole = Session(model, ctx=32).logits(tokens.tolist())
    state = _engine.State(model.core, 32, batch)
    logits = np.empty(model.shape.vocab, np.float32)
    state.forward(tokens[:5], None)
    state.forward(tokens[5:], logits)
    assert np.array_equal(logits, whole[-1])


def test_a_full_context_is_said_and_not_silent(model: Model) -> None:
    session = Session(model, ctx=12)
    text = "".join(session.generate("1 2 3 4 5", max_tokens=50))
    assert session.stop_reason in ("context", "eos")
    with pytest.raises(UsageError, match="context"):
        session.generate("1 " * 12)
    with pytest.raises(UsageError, match="empty prompt"):
        session.generate("")
    assert "".join(session.generate("1 2 3 4 5", max_tokens=50)) == text


def test_the_cache_is_dropped_at_a_switch(model: Model) -> None:
    """A switch in the middle of a generation continues as if patched from the first token."""
    patch = ARITH.read_bytes()
    prompt = "compute 4+44:"
    session = Session(model, ctx=64)
    stream = session.generate(prompt, max_tokens=3)
    first = next(stream)
    session.use([patch])
    rest = list(stream)
    fresh = Session(model, ctx=64)
    fresh.use([patch])
    tokens = fresh.encode(prompt) + fresh.model.tokenizer.encode(first)
    expected = int(fresh.logits(tokens)[-1].argmax())
    if rest:
        assert rest[0].encode() == fresh.model.tokenizer.piece(expected)
    else:
        assert expected in model.tokenizer.stop_ids


def test_two_sessions_share_weights_under_different_patches(model: Model) -> None:
    tokens = model.tokenizer.encode("compute 12+3:")
    alone = Session(model, ctx=32).logits(tokens)
    plain, patched = Session(model, ctx=32), Session(model, ctx=32)
    patched.use([ARITH.read_bytes()])
    with_patch = patched.logits(tokens)
    assert np.array_equal(plain.logits(tokens), alone)
    assert not np.array_equal(with_patch, alone)
    assert np.array_equal(patched.logits(tokens), with_patch)
