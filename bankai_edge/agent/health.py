"""Is an active set healthy? Its patches' own probes, asked of the model that answers with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from bankai_edge.errors import BankaiError
from bankai_edge.patch import bkp

_SHOWN = 24  # characters of a prompt or answer in a sentence: an error's detail is short


class Answers(Protocol):
    """What answers probes: a Session."""

    def generate(self, prompt: str, *, max_tokens: int = 64) -> Iterator[str]:
        """Continue a prompt greedily, piece by piece."""


def canaries(name: str, payload: bytes) -> list[tuple[str, str, str]]:
    """(which one, prompt, expected answer) of every probe in a bare `.bkp`."""
    found = bkp.decode(payload, name).canaries
    return [
        (f"{name}: probe {index} of {len(found)}", prompt, expected)
        for index, (prompt, expected) in enumerate(found, 1)
    ]


def failing(
    session: Answers, probes: Sequence[tuple[str, str, str]], budget_s: float
) -> tuple[str, int]:
    """Ask the probes in order until one fails or the time is up.

    Returns a sentence about the one that failed, or "", and how many were asked. The first is
    always asked to its end. An answer is right when, white space at its ends apart, it begins with
    the expected one and does not go on within its last word.
    """
    deadline = time.monotonic() + budget_s
    for asked, (which, prompt, expected) in enumerate(probes):
        if asked and time.monotonic() >= deadline:
            return "", asked
        wanted = expected.strip()
        try:
            answer = _answer(session, prompt, wanted)
        except BankaiError as error:
            return f"{which}, {_short(prompt)}, cannot be asked: {error.found}", asked + 1
        if not _begins(answer, wanted):
            return (
                f"{which}, {_short(prompt)}, gave {_short(answer)}, not {_short(wanted)}",
                asked + 1,
            )
    return "", len(probes)


def _answer(session: Answers, prompt: str, wanted: str) -> str:
    """The start of an answer: as much of it as tells right from wrong."""
    text = ""
    # A token is a byte at least; two more for white space before and the next word's start.
    for piece in session.generate(prompt, max_tokens=len(wanted.encode()) + 2):
        text = (text + piece).lstrip()
        if len(text) > len(wanted) or not wanted.startswith(text):
            break
    return text


def _begins(answer: str, wanted: str) -> bool:
    rest = answer[len(wanted) :]
    inside_word = rest[:1].isalnum() and wanted[-1:].isalnum()
    return answer.startswith(wanted) and not inside_word


def _short(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
