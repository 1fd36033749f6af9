"""Questions to judge by: the nano model's held-out items, or a probe file in Bankai's JSON.

Of a file (files.py) only held-out probes are asked, split as a search splits them, unless all
are asked for. A file's answer is right as soon as the text starts with it, unless its probe says
``end``; a nano item's text must end there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bankai_edge.errors import UsageError
from bankai_edge.probes import files
from bankai_edge.probes.domains import DOMAINS, FORMS, Item, forms, items
from bankai_edge.probes.files import Entry
from bankai_edge.probes.goals import NANO, STRONG
from bankai_edge.probes.packs import (
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
    entries = files.read(path)
    chosen = [_question(e, encoder) for e in entries if every_split or e.split == "heldout"]
    if not chosen:
        raise UsageError(
            f"{path} has no held-out probe",
            expected='"split": "heldout" on some, or more probes',
            next_step="Give --all-splits if no search has seen the file",
        )
    return chosen


def _question(entry: Entry, encoder: Encoder) -> Question:
    prompt, correct = entry.prompt, entry.correct
    tokens = tuple(encoder.encode(prompt))
    if not tokens:
        raise UsageError(f"{entry.where} has a prompt of no tokens")
    answer, *others = (
        _answer(entry.where, prompt, text, tokens, encoder) for text in (correct, *entry.wrong)
    )
    if answer in others:
        raise UsageError(
            f"{entry.where} is dead: {correct!r} and a wrong answer are the same tokens",
            next_step="Take it out, or give it another wrong answer",
        )
    category = entry.category or "all"
    item = Item(category, entry.name or "probe", prompt, correct, "heldout")
    end = (encoder.eos_id,) if entry.end and encoder.eos_id is not None else ()
    probe = Probe(item, tokens, (*answer, *end), open=not end, alternates=entry.alternates)
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
