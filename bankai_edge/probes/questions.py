"""Questions to judge by: the nano model's held-out items, or a probe file in Bankai's JSON.

Of a file or a built-in set (files.py) only held-out probes are asked, split as a search splits
them, unless all are asked for. A file's answer is right as soon as the text starts with it, unless
its probe says ``end``; a nano item's text must end there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bankai_edge.errors import UsageError
from bankai_edge.probes import files
from bankai_edge.probes.domains import DOMAINS, FORMS, forms, items
from bankai_edge.probes.files import Entry, as_probe
from bankai_edge.probes.goals import NANO, STRONG
from bankai_edge.probes.packs import (
    JUDGE,
    Encoder,
    Probe,
    Sizes,
    continuation,
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
    """The questions that `spec` names: a file, a set, ``nano:`` and a form, a domain or ``strong``.

    `limit` takes that many at most, always the same ones; `every_split` asks all of a file.

    Raises:
        UsageError: no such form or domain, or a probe that cannot be asked (exit 2).
        BankaiError: the file cannot be read.
    """
    if spec.startswith(NANO):
        return _nano(spec, encoder, limit)
    questions = _from_file(spec, encoder, every_split)
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


def _from_file(name: str, encoder: Encoder, every_split: bool) -> list[Question]:
    entries = files.load(name)
    chosen = [_question(e, encoder) for e in entries if every_split or e.split == "heldout"]
    if not chosen:
        raise UsageError(
            f"{name} has no held-out probe",
            expected='"split": "heldout" on some, or more probes',
            next_step="Give --all-splits if no search has seen the file",
        )
    return chosen


def _question(entry: Entry, encoder: Encoder) -> Question:
    probe = as_probe(entry, encoder)
    if not probe.prompt:
        raise UsageError(f"{entry.where} has a prompt of no tokens")
    answers = []
    for text in (entry.correct, *entry.wrong):
        tokens = continuation(entry.prompt, text, encoder)
        if tokens is None:
            raise UsageError(
                f"{entry.where}: the answer {text!r} merges into the prompt's last token",
                expected="an answer that begins where a token begins",
                next_step="Move the space between them to the answer",
            )
        answers.append(tokens)
    answer, *others = answers
    if answer in others:
        raise UsageError(
            f"{entry.where} is dead: {entry.correct!r} and a wrong answer are the same tokens",
            next_step="Take it out, or give it another wrong answer",
        )
    end = probe.answer[len(answer) :]
    return Question(probe, entry.category or "all", tuple((*other, *end) for other in others))
