"""Questions to judge by: the nano model's held-out items, or a probe file in Bankai's JSON.

A file is as in goals.py, but ``wrong`` may also be several answers. Only held-out probes are asked,
split as a search splits them, unless all are asked for. A file's answer is right as soon as the
text starts with it, unless its probe says ``end``; a nano item's text must end there too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bankai_edge.errors import BankaiError, UsageError
from bankai_edge.search.domains import DOMAINS, FORMS, Item, forms, items, split_by_hash
from bankai_edge.search.goals import NANO, SPLITS, STRONG
from bankai_edge.search.probes import (
    JUDGE,
    Encoder,
    Probe,
    Sizes,
    judge_pack,
    tokenise,
)


@dataclass(frozen=True)
class Question:
    """A probe with its wrong answers (token ids, as `probe.answer`) and its line of the table."""

    probe: Probe
    category: str
    wrong: tuple[tuple[int, ...], ...] = ()

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest answer."""
        answers = (self.probe.answer, *self.wrong)
        return len(self.probe.prompt) + max(map(len, answers))

    @property
    def wrong_probes(self) -> list[Probe]:
        """The wrong answers as if they were right, to score them."""
        return [replace(self.probe, answer=answer) for answer in self.wrong]


def load(
    spec: str, encoder: Encoder, limit: int | None = None, *, every_split: bool = False
) -> list[Question]:
    """The questions that `spec` names: a file, ``nano:FORM``, ``nano:DOMAIN`` or ``nano:strong``.

    `limit` takes that many at most, always the same ones; `every_split` asks all of a file.

    Raises:
        UsageError: no such form or domain, or a probe that cannot be asked (exit 2).
        BankaiError: the file cannot be read.
    """
    if spec.startswith(NANO):
        return _nano(spec, encoder, limit)
    questions = _from_file(Path(spec), encoder, every_split)
    return questions if limit is None else questions[:limit]


def load_all(
    specs: Sequence[str],
    encoder: Encoder,
    limit: int | None = None,
    *,
    every_split: bool = False,
) -> list[Question]:
    """The questions of several specs; what is asked twice is asked once."""
    found = {
        (q.probe.prompt, q.probe.answer): q
        for spec in specs
        for q in load(spec, encoder, limit, every_split=every_split)
    }
    return list(found.values())


def _nano(spec: str, encoder: Encoder, limit: int | None) -> list[Question]:
    name = spec.removeprefix(NANO)
    if spec == STRONG:
        sizes = Sizes(1, limit or JUDGE.control)
        probes = judge_pack("add_eq", encoder, sizes).control
    elif name in DOMAINS:
        weak = [f.name for f in forms(name, strong=False)]
        return load_all([NANO + form for form in weak], encoder, limit)
    elif name in FORMS:
        n = JUDGE.target if limit is None else limit
        probes = tokenise(items(FORMS[name].domain, name, "heldout", n), encoder)
    else:
        raise UsageError(
            f"{spec} names nothing", expected=f"nano:strong, {_listed(DOMAINS)} or a form, "
            f"as {NANO}{next(iter(FORMS))}"
        )  # fmt: skip
    return [Question(probe, probe.item.form) for probe in probes]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(NANO + name for name in names)


def _from_file(path: Path, encoder: Encoder, every_split: bool) -> list[Question]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BankaiError(
            f"{path} cannot be read ({error.strerror})", next_step="Check the path given"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error})", expected="a list of probes") from None
    entries = document.get("probes") if isinstance(document, dict) else document
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path} holds no list of probes", expected="Bankai's probe JSON")
    named = [(f"{path}, probe {i}", entry) for i, entry in enumerate(entries)]
    chosen = [
        _question(where, entry, encoder)
        for where, entry in named
        if every_split or _split(where, entry) == "heldout"
    ]
    if not chosen:
        raise UsageError(
            f"{path} has no held-out probe",
            expected='"split": "heldout" on some, or more probes',
            next_step="Give --all-splits if no search has seen the file",
        )
    return chosen


def _split(where: str, entry: Any) -> str:
    """The part of a search that a probe belongs to; malformed ones count as held out."""
    if not isinstance(entry, dict) or not isinstance(entry.get("prompt"), str):
        return "heldout"  # where it is refused
    marked = entry.get("split")
    if marked is None:
        return split_by_hash(entry["prompt"])
    if marked not in SPLITS:
        raise UsageError(f"{where} is in split {marked!r}", expected=f"one of {', '.join(SPLITS)}")
    return SPLITS[marked]


def _question(where: str, entry: Any, encoder: Encoder) -> Question:
    if not isinstance(entry, dict) or not all(
        isinstance(entry.get(key), str) and entry[key] for key in ("prompt", "correct")
    ):
        raise UsageError(f"{where} lacks a prompt or a correct answer", expected="two texts")
    wrong = entry.get("wrong") or []
    wrong = [wrong] if isinstance(wrong, str) else wrong
    if not isinstance(wrong, list) or not all(isinstance(text, str) and text for text in wrong):
        raise UsageError(f"{where} has no texts as wrong answers")
    prompt, correct = entry["prompt"], entry["correct"]
    tokens = tuple(encoder.encode(prompt))
    if not tokens:
        raise UsageError(f"{where} has a prompt of no tokens")
    answer, *others = (_answer(where, prompt, text, tokens, encoder) for text in (correct, *wrong))
    if answer in others:
        raise UsageError(
            f"{where} is dead: {correct!r} and a wrong answer are the same tokens",
            next_step="Take it out, or give it another wrong answer",
        )
    category = str(entry.get("category") or "all")
    item = Item(category, str(entry.get("name") or "probe"), prompt, correct, "heldout")
    end = (encoder.eos_id,) if entry.get("end") and encoder.eos_id is not None else ()
    also = tuple(str(text) for text in entry.get("alternates") or ())
    probe = Probe(item, tokens, (*answer, *end), open=not end, alternates=also)
    return Question(probe, category, tuple((*other, *end) for other in others))


def _answer(
    where: str, prompt: str, answer: str, tokens: tuple[int, ...], encoder: Encoder
) -> tuple[int, ...]:
    """The answer's tokens as they follow the prompt's in one text."""
    whole = tuple(encoder.encode(prompt + answer))
    if whole[: len(tokens)] != tokens or len(whole) == len(tokens):
        raise UsageError(
            f"{where}: the answer {answer!r} merges into the prompt's last token",
            expected="an answer that begins where a token begins",
            next_step="Move the space between them to the answer",
        )
    return whole[len(tokens) :]
