"""The engine's session as the device sees it: tickets, and turns between threads."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from bankai_edge import _patch
from bankai_edge._device import DeviceError, PromptError
from bankai_edge._link import RC
from bankai_edge.agent.limits import MAX_NEW_TOKENS
from bankai_edge.errors import BankaiError, CoreError

if TYPE_CHECKING:
    from bankai_edge._device import Facts, Lent
    from bankai_edge.model import Session

BENCH_TOKENS = 32
BENCH_S = 2.0


class Turns:
    """A lock that is given in the order of asking.

    With a plain lock the token loop, which asks again at once, would starve the commands.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._serving = 0

    def take(self) -> None:
        """Wait for a turn and keep it."""
        with self._changed:
            ticket = self._next
            self._next += 1
            self._changed.wait_for(lambda: self._serving == ticket)

    def give(self) -> None:
        """Let the next one have its turn."""
        with self._changed:
            self._serving += 1
            self._changed.notify_all()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and give it back."""
        self.take()
        try:
            yield
        finally:
            self.give()


class Answer:
    """A prompt's answer as it grows. Its own lock: taking what is there never waits for a token."""

    def __init__(self, pieces: Iterator[str], log: Callable[[str], None]) -> None:
        self._pieces = pieces
        self._log = log
        self.cancelled = False
        self._lock = threading.Lock()
        self._text = bytearray()
        self._start_ns = time.monotonic_ns()
        self._steps = 0
        self._us = 0
        self._done = False
        self._error: DeviceError | None = None

    def advance(self) -> bool:
        """Compute the next piece; False at the end. Never raises an Exception."""
        try:
            piece = None if self.cancelled else next(self._pieces, None)
        except BankaiError as error:
            self._error, piece = DeviceError(RC["BAD_ARGUMENT"], error.found), None
        except Exception as error:
            self._log(f"generating failed: {error!r}")
            self._error, piece = DeviceError(RC["INTERNAL"], str(error)), None
        with self._lock:
            self._text += (piece or "").encode()
            self._steps += piece is not None
            self._us = (time.monotonic_ns() - self._start_ns) // 1000 if piece else self._us
            self._done = piece is None
        return piece is not None

    @property
    def running(self) -> bool:
        """Whether more may come."""
        return not self._done

    def take(self, most: int) -> tuple[bytes, int, int, bool]:
        """(new text, whole characters of at most `most` bytes; steps; microseconds; done)."""
        with self._lock:
            n = min(most, len(self._text))
            while n < len(self._text) and self._text[n] & 0xC0 == 0x80:
                n -= 1
            text, steps = bytes(self._text[:n]), self._steps
            del self._text[:n]
            done = self._done and not self._text
            self._steps = 0
            if done and self._error and not text:
                raise self._error
            return text, steps, self._us, done and not self._error


class EngineSession:
    """One `model.Session` behind `_device.SessionPort`; `allow_unbound` may be set at any time."""

    def __init__(
        self, session: Session, *, allow_unbound: bool, log: Callable[[str], None]
    ) -> None:
        model = session.model
        longest = model.tokenizer.longest
        self.model_id, self.model_name = model.id, model.name
        self.kernel, self.ctx = model.core.kernel, session.ctx
        self.in_place = session.mode == "in-place"
        self.room_bytes = 3 * (longest + 2)
        self.answer_bytes = self.room_bytes + min(session.ctx, MAX_NEW_TOKENS) * longest
        self.allow_unbound = allow_unbound
        self._log = log
        self._session = session
        self._turns = Turns()
        self._holding = False
        self._tickets = itertools.count(1)
        self._answers: dict[int, Answer] = {}
        self._asked: int | None = None  # the ticket of a host's prompt

    def close(self) -> None:
        """Let what is being computed finish, then compute nothing any more."""
        self._turns.take()

    # -- patches -------------------------------------------------------------------------------

    def check(self, patch: Lent) -> None:
        """Raise CoreError for a patch that the pristine weights do not fit."""
        with self._turn(), _core_errors():
            self._session.check(_adopted(patch), allow_unbound=self.allow_unbound)

    def use(self, patches: Sequence[Lent]) -> int:
        """Switch to a set; returns the nanoseconds, raises CoreError."""
        wanted = [_adopted(patch) for patch in patches]
        with self._turn(), _core_errors():
            return self._session.use(wanted, allow_unbound=self.allow_unbound)

    def weights(self) -> tuple[bytes, bool]:
        """SHA-256 of the pristine weights, and whether they are as they were loaded."""
        with self._turn():
            intact = self._session.weights_intact()
            return bytes.fromhex(self._session.model.weights_digest()), intact

    def hold(self, on: bool) -> None:
        """Let no answer advance, or go on."""
        if on:
            self._turns.take()
        self._holding = on
        if not on:
            self._turns.give()

    # -- prompts -------------------------------------------------------------------------------

    def begin(self, prompt: str, max_tokens: int, probe: bool) -> int:
        """Start an answer; a host's is worked on by a thread, a probe's while it is waited for."""
        if not probe and self._asked in self._answers and self._answers[self._asked].running:
            raise DeviceError(RC["BUSY"], "another prompt is being answered")
        tokens = self._session.model.tokenizer.encode(prompt)
        if not 0 < len(tokens) < self.ctx:
            raise PromptError(len(tokens))
        pieces = self._session.generate(tokens, max_tokens=min(max_tokens, MAX_NEW_TOKENS))
        ticket = next(self._tickets)
        answer = self._answers[ticket] = Answer(pieces, self._log)
        if not probe:
            self._asked = ticket
            threading.Thread(target=self._work, args=(answer,), name="answer", daemon=True).start()
        return ticket

    def poll(self, ticket: int, wait: bool, most: int) -> tuple[bytes, int, int, bool]:
        """(new text, steps that brought it, microseconds since begin, done)."""
        answer = self._answers[ticket]
        if wait:
            with self._turn():
                answer.advance()
        try:
            taken = answer.take(most)
        except DeviceError:
            del self._answers[ticket]
            raise
        if taken[3]:
            del self._answers[ticket]
        return taken

    def cancel(self, ticket: int) -> None:
        """Give an answer up."""
        answer = self._answers.pop(ticket, None)
        if answer is not None:
            answer.cancelled = True

    def bench(self) -> Facts:
        """Time some tokens under the active set."""
        model = self._session.model
        with self._turn():
            times = sorted(self._session.time_tokens(BENCH_TOKENS, budget_s=BENCH_S))
        return {
            "kernel": model.core.kernel,
            "threads": model.threads,
            "tokens": len(times),
            "token_us": times[len(times) // 2] // 1000,
            "slowest_us": times[-1] // 1000,
        }

    def logits(self, text: str) -> bytes:
        """SHA-256 over the logits [tokens, vocab] of every position of a text."""
        tokens = self._session.model.tokenizer.encode(text)
        if not 0 < len(tokens) <= self.ctx:
            raise DeviceError(RC["CONTEXT"], "the text has no token, or too many")
        with self._turn():
            return hashlib.sha256(self._session.logits(tokens).tobytes()).digest()

    # -- inside --------------------------------------------------------------------------------

    def _turn(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._holding else self._turns.turn()

    def _work(self, answer: Answer) -> None:
        more = True
        while more:
            with self._turns.turn():
                more = answer.advance()


@contextlib.contextmanager
def _core_errors() -> Iterator[None]:
    """What the core said is for the device to put into words."""
    try:
        yield
    except BankaiError as error:
        if isinstance(error.__cause__, CoreError):
            raise error.__cause__ from None
        raise DeviceError(RC["BAD_ARGUMENT"], error.found) from error


def _adopted(patch: Lent) -> _patch.Patch:
    return _patch.Patch.adopt(*patch)
