"""Probes in files as Bankai writes them, and built-in sets: the one reader for search and judge.

A set is named as ``general:math`` (general.py). A file is a list, or an object with ``probes``, of
{prompt, correct, wrong?, name?, category?, alternates?, split?, end?}; ``wrong`` is a text or
several.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankai_edge.errors import BankaiError, UsageError
from bankai_edge.probes import general
from bankai_edge.probes.domains import Item, split_by_hash
from bankai_edge.probes.packs import Encoder, Probe, continuation

GENERAL = "general:"
MARKS = {
    "train": "train", "search": "train", "probe": "train", "validation": "validation",
    "valid": "validation", "dev": "validation", "heldout": "heldout", "held-out": "heldout",
    "test": "heldout",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One probe as text; `where` names it in errors."""

    prompt: str
    correct: str
    wrong: tuple[str, ...]
    alternates: tuple[str, ...]
    end: bool  # must the text end after the answer?
    split: str  # train, validation or heldout
    name: str
    category: str
    where: str


def load(name: str) -> list[Entry]:
    """All probes of a file or of a built-in set, in its order.

    Raises:
        UsageError: an unknown set, a file that is not JSON, holds no probes, or one that cannot be
            asked (exit 2).
        BankaiError: the file cannot be read.
    """
    if name.startswith(GENERAL):
        kind = name.removeprefix(GENERAL)
        if kind not in general.SETS:
            raise UsageError(f"no set is called {name!r}",
                             expected=f"general: and one of {', '.join(general.SETS)}")  # fmt: skip
        return _parsed(general.entries(kind), name)
    path = Path(name)
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BankaiError(
            f"{path} cannot be read ({error.strerror})", next_step="Check the path given"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error})", expected="a file of probes") from None
    listed = document.get("probes") if isinstance(document, dict) else document
    if not isinstance(listed, list) or not listed:
        raise UsageError(f"{path} holds no probes", expected="a list of {prompt, correct, wrong}")
    return _parsed(listed, name)


def as_probe(entry: Entry, encoder: Encoder) -> Probe:
    """A probe as tokens; an answer that merges with its prompt is encoded alone (see audit.py)."""

    def behind(text: str) -> tuple[int, ...]:
        return continuation(entry.prompt, text, encoder) or tuple(encoder.encode(text))

    closed = (encoder.eos_id,) if entry.end and encoder.eos_id is not None else ()
    return Probe(
        Item(entry.category or "probes", entry.name, entry.prompt, entry.correct, entry.split),
        tuple(encoder.encode(entry.prompt)),
        (*behind(entry.correct), *closed),
        behind(entry.wrong[0]) if entry.wrong else (),
        not entry.end,
        entry.alternates,
    )


def _parsed(listed: Sequence[Any], source: str) -> list[Entry]:
    return [_entry(entry, f"{source}, probe {i}") for i, entry in enumerate(listed)]


def _entry(entry: Any, where: str) -> Entry:
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is no object", expected="{prompt, correct, wrong}")
    prompt, correct = entry.get("prompt"), entry.get("correct")
    if not isinstance(prompt, str) or not isinstance(correct, str) or not prompt or not correct:
        raise UsageError(f"{where} lacks a prompt or a correct answer", expected="two texts")
    wrong = entry.get("wrong") or []
    wrong = [wrong] if isinstance(wrong, str) else wrong
    if not isinstance(wrong, list) or not all(isinstance(text, str) and text for text in wrong):
        raise UsageError(f"{where} has no texts as wrong answers")
    marked = entry.get("split")
    if marked is not None and marked not in MARKS:
        raise UsageError(f"{where} is in split {marked!r}", expected=f"one of {', '.join(MARKS)}")
    return Entry(
        prompt, correct, tuple(wrong), tuple(str(t) for t in entry.get("alternates") or ()),
        bool(entry.get("end", False)), MARKS[marked] if marked else split_by_hash(prompt),
        str(entry.get("name") or ""), str(entry.get("category") or ""), where,
    )  # fmt: skip
