"""A conversation in the ChatML form that Bonsai and Qwen3 were trained on.

    <|im_start|>user\\nHello<|im_end|>\\n<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n

The empty think block asks for an answer without reasoning; earlier answers stand without it, as in
the published template. Control tokens are put in by id: text that spells one stays text, so that
nobody can end his turn and speak as another.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bankai_edge.errors import UsageError
from bankai_edge.model.sampling import Sampler
from bankai_edge.model.session import Session
from bankai_edge.model.tokenizer import Tokenizer

Role = Literal["system", "user", "assistant"]
NO_THOUGHTS = "<think>\n\n</think>\n\n"


@dataclass(frozen=True)
class Turn:
    """What one side said."""

    role: Role
    text: str


class ChatMl:
    """Turns into tokens, with one model's tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises UsageError when the vocabulary has no chat tokens."""
        start, end = (tokenizer.special_id(f"<|im_{word}|>") for word in ("start", "end"))
        if start is None or end is None:
            raise UsageError("a model without chat tokens", expected="<|im_start|> and <|im_end|>")
        self._start, self._end = start, end
        self._tokenizer = tokenizer
        self._opening = NO_THOUGHTS if tokenizer.special_id("<think>") is not None else ""

    def _text(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, special=False) if text else []

    def turn(self, turn: Turn) -> list[int]:
        """One whole turn."""
        inner = self._text(f"{turn.role}\n{turn.text}")
        return [self._start, *inner, self._end, *self._text("\n")]

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """All turns, and the beginning of the assistant's next one."""
        told = [token for turn in turns for token in self.turn(turn)]
        return [*told, self._start, *self._text(f"assistant\n{self._opening}")]


class Chat:
    """A conversation on a session; the oldest turns go when the context is full."""

    def __init__(self, session: Session, system: str | None = None) -> None:
        """`session` may have any patches active, and they may change between turns.

        A model without a chat template is asked each message by itself (`remembers` is False).
        """
        self.session = session
        self.remembers = session.model.has_chat_template
        self._form = ChatMl(session.model.tokenizer) if self.remembers else None
        self._system = [Turn("system", system)] if system else []
        self._turns: list[Turn] = []
        self.dropped = 0  # turns that the last message pushed out of the context

    def reset(self) -> None:
        """Forget what was said; the system message stays."""
        self._turns = []

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What is remembered, the system message first."""
        return (*self._system, *self._turns)

    def say(
        self,
        text: str,
        *,
        max_tokens: int = 512,
        sampler: Sampler | None = None,
        stop: Sequence[str] = (),
    ) -> Generator[str, None, None]:
        """The answer to `text`, in pieces, as `Session.generate` gives them.

        An answer that is cut off (the iterator is closed) is remembered as far as it went.

        Raises:
            UsageError: the message alone does not fit into the context; nothing is remembered.
        """
        self.dropped = 0
        if self._form is None:
            return self.session.generate(text, max_tokens=max_tokens, sampler=sampler, stop=stop)
        turns = [*self._turns, Turn("user", text)]
        tokens = self._form.prompt([*self._system, *turns])
        room = self.session.ctx - min(max_tokens, self.session.ctx // 4)
        while len(tokens) > room and len(turns) > 1:
            first = next((i for i, t in enumerate(turns) if i and t.role == "user"), len(turns) - 1)
            self.dropped += first
            turns = turns[first:]
            tokens = self._form.prompt([*self._system, *turns])
        pieces = self.session.generate(tokens, max_tokens=max_tokens, sampler=sampler, stop=stop)
        self._turns = turns
        return self._remembered(pieces)

    def _remembered(self, pieces: Iterator[str]) -> Generator[str, None, None]:
        answer = ""
        try:
            for piece in pieces:
                answer += piece
                yield piece
        finally:
            self._turns.append(Turn("assistant", answer))
