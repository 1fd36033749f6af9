"""Sampling: what each filter leaves, in llama.cpp's order, and the same draw for the same seed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bankai_edge.cli.main import bankai_edge
from bankai_edge.errors import UsageError
from bankai_edge.model import Model, Session
from bankai_edge.model.sampling import Sampler, Sampling, most_likely

P = np.array([0.05, 0.4, 0.1, 0.25, 0.2])
LOGITS = np.log(P).astype(np.float32)


def drawn(n: int = 4000, tokens: tuple[int, ...] = (), **options: float) -> dict[int, float]:
    """How often each token was drawn."""
    sampler = Sampler(Sampling(**{"temperature": 1.0, **options}), seed=7)  # type: ignore[arg-type]
    counts = Counter(sampler.pick(LOGITS, tokens) for _ in range(n))
    return {token: counts[token] / n for token in sorted(counts)}


def near(found: dict[int, float], weights: dict[int, float]) -> None:
    total = sum(weights.values())
    assert set(found) == set(weights)
    for token, weight in weights.items():
        assert found[token] == pytest.approx(weight / total, abs=0.035)


def test_temperature() -> None:
    near(drawn(), dict(enumerate(P)))
    near(drawn(temperature=0.5), dict(enumerate(P**2)))
    near(drawn(temperature=2.0), dict(enumerate(P**0.5)))


def test_filters_one_by_one() -> None:
    near(drawn(top_k=2), {1: 0.4, 3: 0.25})
    near(drawn(top_p=0.8), {1: 0.4, 3: 0.25, 4: 0.2})  # 0.4 + 0.25 < 0.8
    near(drawn(min_p=0.3), {1: 0.4, 3: 0.25, 4: 0.2})
    near(drawn(min_p=1.0), {1: 1.0})
    near(drawn(top_p=0.0), {1: 1.0})


def test_order_of_filters() -> None:
    """top-p counts within what top-k left; temperature comes last and changes no filter."""
    # of 0.4 0.25 0.2 (sum 0.85), 0.4 + 0.25 are 76 %
    near(drawn(top_k=3, top_p=0.7), {1: 0.4, 3: 0.25})
    near(drawn(top_p=0.8, temperature=4.0), {1: 0.4**0.25, 3: 0.25**0.25, 4: 0.2**0.25})
    near(drawn(min_p=0.3, temperature=4.0), {1: 0.4**0.25, 3: 0.25**0.25, 4: 0.2**0.25})


def test_repetition_penalty() -> None:
    """Negative logits are multiplied; what lies more than `repeat_last` back is free."""
    weights = {i: p**2 if i == 1 else p for i, p in enumerate(P)}
    near(drawn(repeat_penalty=2.0, tokens=(1, 1)), weights)
    near(
        drawn(repeat_penalty=2.0, repeat_last=2, tokens=(1, 0, 0)),
        {**dict(enumerate(P)), 0: 0.05**2},
    )
    greedy = Sampler(Sampling(repeat_penalty=3.0))
    assert greedy.pick(np.array([3.0, 2.0, -1.0], np.float32), [0]) == 1
    assert greedy.pick(np.array([-1.0, -2.0], np.float32), [0]) == 1


def test_greedy_takes_the_lowest_of_equals() -> None:
    assert Sampler().pick(np.array([1, 5, 5, 2], np.float32)) == 1
    assert Sampler(Sampling(top_k=1)).pick(np.array([1, 5, 5, 2], np.float32)) == 1


@given(hnp.arrays(np.float32, st.integers(1, 60), elements=st.integers(-5, 5)), st.integers(1, 60))
def test_most_likely_is_a_stable_sort(logits: np.ndarray, n: int) -> None:
    want = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:n]
    assert most_likely(logits, n).tolist() == want


@given(
    hnp.arrays(np.float32, 40, elements=st.floats(-30, 30, width=32)),
    st.floats(0.01, 5), st.integers(0, 50), st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 2),
    st.integers(0, 2**32),
)  # fmt: skip
def test_any_options_give_a_token(
    logits: np.ndarray, temperature: float, k: int, p: float, m: float, penalty: float, seed: int
) -> None:
    options = Sampling(temperature, k, p, m, penalty)
    picks = [Sampler(options, seed).pick(logits, [3, 4]) for _ in range(2)]
    assert picks[0] == picks[1] and 0 <= picks[0] < 40


def test_a_seed_is_for_all_time() -> None:
    """These draws may never change: users quote seeds."""
    sampler = Sampler(Sampling(1.0), seed=42)
    assert [sampler.pick(LOGITS) for _ in range(12)] == [4, 3, 2, 4, 1, 0, 4, 4, 1, 3, 1, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -1}, "temperature of -1"),
        ({"top_p": 1.5}, "top-p"),
        ({"min_p": float("nan")}, "min-p"),
        ({"repeat_penalty": 0}, "repeat-penalty"),
        ({"top_k": -2}, "top-k"),
    ],
    ids=str,
)
def test_options_that_mean_nothing(options: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Sampling(**options)  # type: ignore[arg-type]


def test_generation_repeats_with_its_seed(nano_path: Path) -> None:
    session = Session(Model(nano_path), ctx=64)

    def text(seed: int) -> str:
        sampler = Sampler(Sampling(temperature=2.0), seed)
        return "".join(session.generate("turn", max_tokens=20, sampler=sampler))

    assert text(1) == text(1) != text(2)


def test_run_tells_the_seed_it_drew() -> None:
    """A random run can be repeated: --json says the seed."""
    command = ["run", "-p", "turn", "--json", "--temperature", "2", "-n", "12"]
    first = json.loads(CliRunner().invoke(bankai_edge, command).stdout)
    again = CliRunner().invoke(bankai_edge, [*command, "--seed", str(first["seed"])])
    assert json.loads(again.stdout)["text"] == first["text"]
    stopped = ["run", "-p", "17+25=", "--json", "--stop", "2"]
    fields = json.loads(CliRunner().invoke(bankai_edge, stopped).stdout)
    assert (fields["text"], fields["stop_reason"], fields["seed"]) == ("4", "stop", None)
