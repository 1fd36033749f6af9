"""One conversation: a model, its active patches, and the KV cache."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bankai_edge import _engine, _patch
from bankai_edge._facts import Err
from bankai_edge.defaults import BATCH, CONTEXT
from bankai_edge.errors import BankaiError, CoreError, UsageError
from bankai_edge.model.overlays import check_each, decode_each
from bankai_edge.model.sampling import Sampler
from bankai_edge.model.stops import StopFilter
from bankai_edge.model.weights import Model
from bankai_edge.patch.refusals import patch_error

Mode = Literal["overlay", "in-place"]
StopReason = Literal["", "eos", "stop", "max_tokens", "context"]


class Session:
    """Runs a model with a switchable set of patches.

    `overlay` leaves the weights untouched (several sessions may share one model); `in-place` flips
    the bits where they lie and needs `Model(..., writable=True)` to itself. Both give the same
    logits to the last bit. Not safe to call from two threads at once.
    """

    def __init__(self, model: Model, *, ctx: int | None = None, mode: Mode = "overlay") -> None:
        """Prepare a context of `ctx` tokens (default: the model's, at most 2048).

        Raises:
            UsageError: a context that the model does not have.
            BankaiError: not enough memory for the KV cache.
        """
        if mode == "in-place" and not model.writable:
            raise UsageError("in-place patching was asked of a read-only model")
        limit = model.shape.context
        self.ctx = min(limit, CONTEXT) if ctx is None else ctx
        if not 1 <= self.ctx <= limit:
            raise UsageError(f"a context of {ctx} tokens", expected=f"1 to {limit} for this model")
        self.model = model
        self.mode: Mode = mode
        try:
            self._state = _engine.State(model.core, self.ctx, BATCH, model.pool)
        except MemoryError as error:
            raise BankaiError(str(error), next_step="Ask for a smaller --ctx") from error
        self._patches: tuple[_patch.Patch, ...] = ()
        self._held: list[int] = []  # tokens whose keys and values the cache holds
        self._held_under: list[tuple[_patch.Patch, ...]] = []  # the set of each
        self.stop_reason: StopReason = ""

    # ---- patches -----------------------------------------------------------------------------

    def check(self, patch: bytes | _patch.Patch, *, allow_unbound: bool = False) -> None:
        """Check a .bkp against the pristine weights; nothing changes.

        Raises:
            IncompatibleError: another format, model, row range or CRC (exit 4).
        """
        decoded = decode_each(self.model.core, [patch])
        with self._pristine():
            check_each(self.model.core, decoded, allow_unbound)

    def use(
        self,
        patches: Sequence[bytes | _patch.Patch],
        *,
        allow_unbound: bool = False,
        keep_cache: bool = False,
    ) -> int:
        """Replace the active set by `patches` (.bkp bytes, or decoded ones), all or none.

        What the KV cache holds under another set is dropped: the prompt is read again before the
        next token. With `keep_cache` generation goes on at once, from keys and values of the old
        set; its text is then neither set's own, and `cache_is_mixed` says so. Returns the
        nanoseconds that verifying and switching took.

        Raises:
            IncompatibleError: a patch does not fit; the old set stays active (exit 4).
        """
        wanted = decode_each(self.model.core, patches)
        start = time.perf_counter_ns()
        if self.mode == "overlay":
            overlays = self.model.overlays
            overlay = overlays.get(wanted, allow_unbound=allow_unbound) if wanted else None
            self._state.set_overlay(overlay)
        else:
            self._swap_in_place(wanted, allow_unbound)
        elapsed = time.perf_counter_ns() - start
        self._patches = wanted
        if not keep_cache:
            self._truncate(self._pure_length())
        return elapsed

    def _swap_in_place(self, wanted: tuple[_patch.Patch, ...], allow_unbound: bool) -> None:
        try:
            _patch.swap(self.model.core, self._patches, wanted, allow_unbound)
        except CoreError as error:
            with self._pristine():
                check_each(self.model.core, wanted, allow_unbound)  # finds which one, and says so
            raise patch_error(error, None, self.model.id) from error

    @property
    def cache_is_mixed(self) -> bool:
        """Whether the KV cache holds tokens computed under another set than the active one."""
        return self._pure_length() < len(self._held)

    def _pure_length(self) -> int:
        """Positions from the first on that were computed under the active set alone."""
        for i, patches in enumerate(self._held_under):
            if patches is not self._patches and patches != self._patches:
                return i
        return len(self._held_under)

    @contextmanager
    def _pristine(self) -> Iterator[None]:
        """The weights without in-place flips, for the time of a check."""
        active = self._patches if self.mode == "in-place" else ()
        if active:
            _patch.swap(self.model.core, active, (), True)
        try:
            yield
        finally:
            if active:
                _patch.swap(self.model.core, (), active, True)

    def weights_intact(self) -> bool:
        """Whether every weight byte, with in-place flips taken back, is as in the file."""
        with self._pristine():
            return self.model.intact()

    # ---- tokens ------------------------------------------------------------------------------

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Logits [len(tokens), vocab] of every position, from an empty cache."""
        self._truncate(0)
        rows = np.empty((len(tokens), self.model.shape.vocab), np.float32)
        try:
            self._state.forward_all(np.asarray(tokens, np.int32), rows.reshape(-1))
        except CoreError as error:
            raise self._token_error(error) from None
        self._note_held(tokens)
        return rows

    def _truncate(self, n: int) -> None:
        """Keep the first n tokens of the cache."""
        self._state.truncate(n)
        del self._held[n:], self._held_under[n:]

    def _note_held(self, tokens: Sequence[int]) -> None:
        """The cache now holds `tokens`, the new ones computed under the active set."""
        new = tokens[len(self._held) :]
        self._held.extend(new)
        self._held_under.extend([self._patches] * len(new))

    def _token_error(self, error: CoreError) -> BankaiError:
        if error.code == Err.CONTEXT:
            return UsageError("more tokens than the context holds", expected=f"{self.ctx} at most")
        if error.code == Err.TOKEN:
            return UsageError("a token id outside the vocabulary")
        return BankaiError(str(error))

    def _advance(self, tokens: list[int], logits: NDArray[np.float32]) -> None:
        """Logits [vocab] after `tokens`, reusing the cache for the prefix it holds."""
        same = 0
        for held, token in zip(self._held, tokens[:-1], strict=False):
            if held != token:
                break
            same += 1
        self._truncate(same)
        try:
            self._state.forward(np.asarray(tokens[same:], np.int32), logits)
        except CoreError as error:
            raise self._token_error(error) from None
        self._note_held(tokens)

    def time_tokens(self, most: int, *, budget_s: float) -> list[int]:
        """Nanoseconds of single tokens from an empty cache on: up to `most`, within `budget_s` if
        that gives three. What the cache held is dropped."""
        logits = np.empty(self.model.shape.vocab, np.float32)
        self._truncate(0)
        times: list[int] = []
        while len(times) < min(most, self.ctx) and (len(times) < 3 or sum(times) < budget_s * 1e9):
            start = time.perf_counter_ns()
            self._state.forward(np.ones(1, np.int32), logits)
            times.append(time.perf_counter_ns() - start)
        self._truncate(0)
        return times

    def encode(self, prompt: str) -> list[int]:
        """The prompt's tokens.

        Raises:
            UsageError: an empty prompt, or one that leaves no room for an answer (exit 2).
        """
        return self._fitting(self.model.tokenizer.encode(prompt))

    def _fitting(self, tokens: list[int]) -> list[int]:
        if not tokens:
            raise UsageError("an empty prompt", next_step="Give some text to continue")
        if len(tokens) >= self.ctx:
            raise UsageError(
                f"a prompt of {len(tokens)} tokens",
                expected=f"fewer than the context's {self.ctx}",
                next_step="Shorten it or raise --ctx",
            )
        return tokens

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_tokens: int = 64,
        sampler: Sampler | None = None,
        stop: Sequence[str] = (),
    ) -> Generator[str, None, None]:
        """Continue `prompt` (text, or tokens), yielding text that never splits a character.

        Greedy without a `sampler`. The text ends before the first of the `stop` strings, no part
        of which is ever yielded. A switch of patches between two pieces takes effect at the next
        token. Afterwards `stop_reason` says why it ended.

        Raises:
            UsageError: see `encode`; raised here, before the first piece is asked for.
        """
        tokens = self.encode(prompt) if isinstance(prompt, str) else self._fitting(list(prompt))
        return self._pieces(tokens, max_tokens, sampler or Sampler(seed=0), StopFilter(stop))

    def _pieces(
        self, tokens: list[int], max_tokens: int, sampler: Sampler, shown: StopFilter
    ) -> Generator[str, None, None]:
        text = self.model.tokenizer.stream()
        logits = np.empty(self.model.shape.vocab, np.float32)
        self.stop_reason = "max_tokens"
        for _ in range(max_tokens):
            if len(tokens) > self.ctx:
                self.stop_reason = "context"
                break
            self._advance(tokens, logits)
            token = sampler.pick(logits, tokens)
            if token in self.model.tokenizer.stop_ids:
                self.stop_reason = "eos"
                break
            tokens.append(token)
            if piece := shown.feed(text.feed(token)):
                yield piece
            if shown.stopped:
                break
        if rest := shown.feed(text.finish()) + shown.finish():
            yield rest
        if shown.stopped:
            self.stop_reason = "stop"
