"""The judge: the C engine's verdict on probes, under any set of patches.

`Evaluator.scores` reads prompt and answer in one pass (teacher forcing) and gives each answer's
log-probability and margin; `Evaluator.exact` is greedy exact match, the only measure that is
reported as a result. Both are bit-exact on every machine and at any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bankai_edge import _engine, _patch
from bankai_edge.judge.crew import Reading, Threads
from bankai_edge.judge.reading import Scores
from bankai_edge.model import Model
from bankai_edge.probes.packs import Pack, Probe

EXTRA_TOKENS = 4  # how far greedy text may outgrow the right answer's tokens before it is wrong

T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """Greedy exact match of n items before and after a patch."""

    n: int
    before: int
    after: int
    fixed: int
    broken: int

    @classmethod
    def between(cls, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Change:
        """Counts from right/wrong [n] before and after."""
        fixed, broken = int((~before & after).sum()), int((before & ~after).sum())
        return cls(len(before), int(before.sum()), int(after.sum()), fixed, broken)


@dataclass(frozen=True)
class Verdict:
    """What a patch did to a pack."""

    target: Change
    control: Change


class Evaluator:
    """Evaluates probes on one model, in `threads` states that share its weights.

    Probes are sorted by their tokens, so that a prefix which neighbours share is computed once.
    """

    def __init__(self, model: Model, *, threads: int = 1, ctx: int = 64) -> None:
        self.model = model
        self._ctx = ctx
        self._states = [_engine.State(model.core, ctx) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads)
        self.probes_read = 0

    def scores(self, probes: Sequence[Probe], patches: Sequence[bytes] = ()) -> Scores:
        """Scores of every probe under `patches` (.bkp bytes that fit this model)."""
        self.probes_read += len(probes)
        if not probes:
            return Scores.of(np.empty((3, 0)))
        return Reading(Threads(self.model, len(self._states)), probes).scores(patches)

    def exact(self, probes: Sequence[Probe], patches: Sequence[bytes] = ()) -> NDArray[np.bool_]:
        """[n]: is the text that greedy decoding gives the right answer, to the byte?"""
        return np.array(self._each(probes, patches, self._is_exact), np.bool_)

    def verdict(self, pack: Pack, patches: Sequence[bytes]) -> Verdict:
        """Fixed and broken items of a pack, patched against pristine."""
        return self.verdicts(pack, patches)[0]

    def verdicts(self, pack: Pack, patches: Sequence[bytes]) -> tuple[Verdict, list[Change]]:
        """The same, and what became of each goal's targets."""
        n, probes = len(pack.target), pack.target + pack.control
        before, after = self.exact(probes), self.exact(probes, patches)

        def change(start: int, end: int) -> Change:
            return Change.between(before[start:end], after[start:end])

        ends = np.cumsum([0, *(pack.parts or (n,))]).tolist()
        whole = Verdict(change(0, n), change(n, len(probes)))
        return whole, [change(start, end) for start, end in pairwise(ends)]

    def _each(
        self,
        probes: Sequence[Probe],
        patches: Sequence[bytes],
        ask: Callable[[_Reader, Probe], T],
    ) -> list[T]:
        """`ask` of every probe, in the probes' order."""
        overlay = _patch.Overlay(self.model.core, patches) if patches else None
        order = sorted(range(len(probes)), key=lambda i: probes[i].tokens)
        answers: dict[int, T] = {}

        def work(state: _engine.State, share: list[int]) -> list[tuple[int, T]]:
            state.set_overlay(overlay)
            reader = _Reader(state, self.model)
            return [(i, ask(reader, probes[i])) for i in share]

        parts = len(self._states)
        shares = [order[len(order) * k // parts : len(order) * (k + 1) // parts]
                  for k in range(parts)]  # fmt: skip
        for done in self._pool.map(work, self._states, shares):
            answers.update(done)
        self.probes_read += len(probes)
        return [answers[i] for i in range(len(probes))]

    @staticmethod
    def _is_exact(reader: _Reader, probe: Probe) -> bool:
        # Greedy decoding walks along the answer while its tokens are the greedy choice; only where
        # it leaves them can the text still come out equal, spelled with other tokens.
        chosen = reader.answer_logits(probe).argmax(axis=1)  # [answer]
        if tuple(chosen.tolist()) == probe.answer:
            return True
        right = tuple(text.encode() for text in (probe.item.answer, *probe.alternates))
        longest = len(probe.answer) + EXTRA_TOKENS
        text = reader.greedy(probe.prompt, longest, right if probe.open else ())
        return text in right


class _Reader:
    """One state that reads probes one after the other and keeps what they share."""

    def __init__(self, state: _engine.State, model: Model) -> None:
        self._state = state
        self._model = model
        self._held: tuple[int, ...] = ()
        state.truncate(0)

    def answer_logits(self, probe: Probe) -> NDArray[np.float32]:
        """Logits [answer, vocab] from which each token of the right answer is to be chosen."""
        tokens, start = probe.tokens, len(probe.prompt) - 1
        self._rewind(tokens, start)
        at = len(self._held)
        if at < start:
            self._state.forward(np.array(tokens[at:start], np.int32), None)
        rows = np.empty((len(probe.answer), self._model.shape.vocab), np.float32)
        self._state.forward_all(np.array(tokens[start:], np.int32), rows.reshape(-1))
        self._held = tokens
        return rows

    def greedy(
        self, prompt: tuple[int, ...], limit: int, until: tuple[bytes, ...] = ()
    ) -> bytes | None:
        """Greedy text after a prompt, or None when it does not end within `limit` tokens.

        As soon as the text starts with one of `until`, just that.
        """
        self._rewind(prompt, len(prompt) - 1)
        logits = np.empty(self._model.shape.vocab, np.float32)
        ahead, text = prompt[len(self._held) :], b""
        self._held = ()  # what follows is no probe's prefix
        for _ in range(limit):
            self._state.forward(np.array(ahead, np.int32), logits)
            token = int(logits.argmax())
            if token in self._model.tokenizer.stop_ids:
                return text
            text += self._model.tokenizer.piece(token)
            for known in until:
                if text.startswith(known):
                    return known
            ahead = (token,)
        return None

    def _rewind(self, tokens: tuple[int, ...], limit: int) -> None:
        """Keep the cache of the prefix that `tokens` shares with the last ones, at most `limit`."""
        same = 0
        for a, b in zip(self._held[:limit], tokens, strict=False):
            if a != b:
                break
            same += 1
        self._state.truncate(same)
        self._held = tokens[:same]
