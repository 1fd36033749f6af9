"""Switching sets: what is prepared once, what of the KV cache survives, who shares a model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from bankai_edge.bench.switching import random_patch
from bankai_edge.errors import IncompatibleError
from bankai_edge.model import Model, Session
from bankai_edge.model.overlays import KEPT
from bankai_edge.model.synth import write_model
from bankai_edge.patch import Patch, encode
from bankai_edge.shapes import ModelShape

Mode = Literal["overlay", "in-place"]
MODES: tuple[Mode, ...] = ("overlay", "in-place")
SHAPE = ModelShape("switch", 3, 256, 384, 4, 2, 64, 401, 256)
PROMPT = "one two three"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("switching") / "small.gguf"
    write_model(path, SHAPE, 11)
    return path


@pytest.fixture
def model(path: Path) -> Model:
    return Model(path, writable=True)


@pytest.fixture
def patches(model: Model) -> list[bytes]:
    """Three sets that each change every text; the last has single bits too."""
    return [random_patch(model, seed, rows=60, bits=60 * (seed == 3)) for seed in (1, 2, 3)]


def session_of(model: Model, mode: Mode, *active: bytes) -> Session:
    session = Session(model, ctx=128, mode=mode)
    session.use(active)
    return session


def text_of(model: Model, prompt: str, *active: bytes, n: int = 12) -> str:
    return "".join(session_of(model, "overlay", *active).generate(prompt, max_tokens=n))


# ---- prepared overlays ---------------------------------------------------------------------------


def test_returning_to_a_set_builds_nothing(model: Model, patches: list[bytes]) -> None:
    a, b, _ = patches
    first = model.overlays.get((a, b))
    assert model.overlays.get((bytes(bytearray(a)), b)) is first  # by content
    assert model.overlays.get((a,)) is not first
    assert model.overlays.get((a, b)) is first


def test_the_oldest_of_many_sets_is_forgotten(model: Model) -> None:
    sets = [(random_patch(model, seed, rows=2),) for seed in range(20, 20 + KEPT)]
    kept = [model.overlays.get(s) for s in sets]
    assert model.overlays.get(sets[0]) is kept[0]  # now the newest
    model.overlays.get((random_patch(model, 99, rows=2),))
    assert model.overlays.get(sets[0]) is kept[0]
    assert model.overlays.get(sets[1]) is not kept[1]


def test_permission_for_an_unbound_patch_is_not_remembered(model: Model) -> None:
    loose = encode(Patch("loose", rows=((0, 0, 0), (1, 4, 7))))
    session = Session(model, ctx=16)
    session.use([loose], allow_unbound=True)
    other = Session(model, ctx=16)
    with pytest.raises(IncompatibleError, match="unbound"):
        other.use([loose])
    other.use([loose], allow_unbound=True)


def test_a_session_keeps_an_overlay_that_is_forgotten(model: Model, patches: list[bytes]) -> None:
    session = session_of(model, "overlay", patches[0])
    want = session.logits([1, 2, 3])
    model.overlays.clear()
    assert np.array_equal(session.logits([1, 2, 3]), want)


@pytest.mark.parametrize("mode", MODES)
def test_a_set_that_does_not_fit_changes_nothing(
    model: Model, patches: list[bytes], mode: Mode
) -> None:
    a, b, _ = patches
    session = session_of(model, mode, a)
    want = session.logits([5, 6, 7])
    wrong = bytearray(b)
    wrong[wrong.index(model.id)] ^= 1
    for keep_cache in (False, True):
        with pytest.raises(IncompatibleError):
            session.use([a, bytes(wrong)], keep_cache=keep_cache)
        assert not session.cache_is_mixed
        assert np.array_equal(session.logits([5, 6, 7]), want)
    session.use([])
    assert session.weights_intact()


# ---- the KV cache at a switch --------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_switch_within_a_generation_is_as_if_begun_anew(
    model: Model, patches: list[bytes], mode: Mode
) -> None:
    """By default: the rest of the text is what the new set says after the text so far."""
    a, b, _ = patches
    session = session_of(model, mode, a)
    tokens, steps = session.encode(PROMPT), 6
    first = greedy(session, tokens, steps)
    assert session.use([b]) > 0
    assert not session.cache_is_mixed
    rest = greedy(session, tokens + first, steps)
    session.use([])
    assert rest == greedy(session_of(model, "overlay", b), tokens + first, steps)
    assert first == greedy(session_of(model, "overlay", a), tokens, steps)
    assert session.weights_intact()


def greedy(session: Session, tokens: list[int], n: int) -> list[int]:
    """n tokens after `tokens`, through the session's cache."""
    new: list[int] = []
    logits = np.empty(session.model.shape.vocab, np.float32)
    for _ in range(n):
        session._advance(tokens + new, logits)
        new.append(int(logits.argmax()))
    return new


@pytest.mark.parametrize("mode", MODES)
def test_keep_cache_goes_on_from_the_old_keys_and_says_so(
    model: Model, patches: list[bytes], mode: Mode
) -> None:
    a, b, _ = patches
    session = session_of(model, mode, a)
    tokens = session.encode(PROMPT)
    first = greedy(session, tokens, 6)
    held = session._state.pos
    session.use([b], keep_cache=True)
    assert session._state.pos == held
    assert session.cache_is_mixed
    mixed = greedy(session, tokens + first, 6)
    assert session.cache_is_mixed
    # without the option, nothing of it remains
    session.use([b])
    assert not session.cache_is_mixed
    assert session._state.pos == 0
    rest = greedy(session, tokens + first, 6)
    session.use([])
    assert rest == greedy(session_of(model, "overlay", b), tokens + first, 6)
    # mixed by hand: the old set's keys and values, then steps of the new set
    judge = session_of(model, "overlay", a)
    judge._advance((tokens + first)[:-1], np.empty(SHAPE.vocab, np.float32))
    judge._state.set_overlay(model.overlays.get((b,)))
    assert mixed == greedy(judge, tokens + first, 6)


def test_both_modes_mix_alike(model: Model, patches: list[bytes]) -> None:
    a, b, c = patches
    texts = []
    for mode in MODES:
        session = session_of(model, mode, a)
        tokens = session.encode(PROMPT)
        for active in ([b], [c, a], []):
            tokens += greedy(session, tokens, 3)
            session.use(active, keep_cache=True)
        texts.append(tokens + greedy(session, tokens, 3))
    assert texts[0] == texts[1]


def test_what_a_set_computed_itself_is_kept(model: Model, patches: list[bytes]) -> None:
    """Returning to a set reuses its own prefix, and only that."""
    a, b, _ = patches
    session = session_of(model, "overlay", a)
    tokens = session.encode(PROMPT)
    first = greedy(session, tokens, 4)
    own = session._state.pos
    session.use([b], keep_cache=True)
    greedy(session, tokens + first, 4)
    session.use([a])
    assert session._state.pos == own
    assert not session.cache_is_mixed
    assert greedy(session, tokens + first, 4) == greedy(
        session_of(model, "overlay", a), tokens + first, 4
    )


def test_logits_are_never_mixed(model: Model, patches: list[bytes]) -> None:
    a, b, _ = patches
    session = session_of(model, "overlay", a)
    session.logits([1, 2, 3, 4])
    session.use([b], keep_cache=True)
    assert session.cache_is_mixed
    got = session.logits([1, 2, 3, 4])
    assert not session.cache_is_mixed
    assert np.array_equal(got, session_of(model, "overlay", b).logits([1, 2, 3, 4]))


# ---- several sessions on one model ---------------------------------------------------------------


def test_sessions_with_different_patches_in_turn(model: Model, patches: list[bytes]) -> None:
    """Pieces drawn alternately from one set of weights: each text as if it were alone."""
    sets: list[list[bytes]] = [[], [patches[0]], [patches[1], patches[2]]]
    alone = [text_of(model, PROMPT, *s) for s in sets]
    assert len(set(alone)) == 3
    sessions = [session_of(model, "overlay", *s) for s in sets]
    streams = [s.generate(PROMPT, max_tokens=12) for s in sessions]
    texts = ["", "", ""]
    running = True
    while running:
        pieces = ["".join(islice(stream, 1)) for stream in streams]
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
        running = any(pieces)
    assert texts == alone
    assert model.intact()


@pytest.mark.parametrize("threads", [1, 3])
def test_sessions_with_different_patches_at_once(
    path: Path, patches: list[bytes], threads: int
) -> None:
    """Each in a thread of its own, on one set of weights and one pool."""
    model = Model(path, threads=threads)
    sets: list[tuple[bytes, ...]] = [(), (patches[0],), (patches[1], patches[2])]
    alone = [text_of(model, PROMPT, *s, n=40) for s in sets]
    with ThreadPoolExecutor() as executor:
        for _ in range(5):
            texts = executor.map(lambda s: text_of(model, PROMPT, *s, n=40), sets)
            assert list(texts) == alone
