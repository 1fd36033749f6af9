"""Files of probes as Bankai writes them, read the same way by searches and by judges.

A file is a list, or an object with ``probes``, of {prompt, correct, wrong?, name?, category?,
alternates?, split?, end?}; ``wrong`` is a text or several.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankai_edge.errors import BankaiError, UsageError
from bankai_edge.probes.domains import split_by_hash

SPLITS = {
    "train": "train", "search": "train", "probe": "train", "validation": "validation",
    "valid": "validation", "dev": "validation", "heldout": "heldout", "held-out": "heldout",
    "test": "heldout",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One probe as text; `where` names it in errors."""

    where: str
    prompt: str
    correct: str
    wrong: tuple[str, ...]
    name: str
    category: str
    split: str  # train, validation or heldout
    end: bool  # must the text end after the answer?
    alternates: tuple[str, ...]


def read(path: Path) -> list[Entry]:
    """All probes of a file, in its order.

    Raises:
        UsageError: it is not JSON, holds no probes, or one that cannot be asked (exit 2).
        BankaiError: it cannot be read.
    """
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
    return parse(listed, str(path))


def parse(listed: Sequence[Any], source: str) -> list[Entry]:
    """Probes from plain JSON values; a probe without a split gets one by hash of its prompt."""
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
    if marked is not None and marked not in SPLITS:
        raise UsageError(f"{where} is in split {marked!r}", expected=f"one of {', '.join(SPLITS)}")
    return Entry(
        where, prompt, correct, tuple(wrong), str(entry.get("name") or ""),
        str(entry.get("category") or ""), SPLITS[marked] if marked else split_by_hash(prompt),
        bool(entry.get("end", False)), tuple(str(t) for t in entry.get("alternates") or ()),
    )  # fmt: skip
