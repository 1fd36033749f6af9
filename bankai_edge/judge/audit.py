"""Looks at probes before a search: what would make its verdict worthless is refused.

A search is only as honest as its probes. Each check here has falsified somebody's result: answers
that are the same tokens, answers that no longer start where the prompt ends, one question in two
splits, distractors that the model would never say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bankai_edge.judge.reading import Metric, Scores
from bankai_edge.probes.goals import Goals
from bankai_edge.probes.packs import Encoder, Pack, Probe, continuation

UNTHINKABLE = 10.0  # nats by which a distractor lies behind: e^-10 of the right token's probability


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one probe; a fatal one falsifies results."""

    kind: str
    prompt: str
    text: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.kind}: {self.prompt!r} {self.text}"


def examine(goals: Goals, encoder: Encoder, metric: Metric) -> list[Finding]:
    """All findings that need no model."""
    packs = (goals.search, goals.validation, goals.heldout)
    found: list[Finding] = []
    for pack in packs:
        for probe in (*pack.target, *pack.control):
            found += _of_probe(probe, encoder, metric)
    return found + _duplicates(packs)


def unthinkable(probes: Sequence[Probe], before: Scores) -> list[Finding]:
    """Distractors that the pristine model never considers: their gap measures nothing."""
    return [
        Finding("distractor", p.item.prompt, f"never considers {_text(p.wrong)}: behind by "
                f"{before.gap[i]:.1f} nats", fatal=False)
        for i, p in enumerate(probes)
        if p.wrong and before.gap[i] > UNTHINKABLE
    ]  # fmt: skip


def without(goals: Goals, findings: Iterable[Finding]) -> Goals:
    """The goals less every probe with a fatal finding."""
    bad = {finding.prompt for finding in findings if finding.fatal}

    def kept(pack: Pack) -> Pack:
        parts, target, at = [], [], 0
        for n in pack.parts or (len(pack.target),):
            some = [p for p in pack.target[at : at + n] if p.item.prompt not in bad]
            target += some
            parts.append(len(some))
            at += n
        control = tuple(p for p in pack.control if p.item.prompt not in bad)
        return Pack(tuple(target), control, tuple(parts))

    return Goals(
        goals.names, goals.domain, kept(goals.search), kept(goals.validation), kept(goals.heldout)
    )


def _of_probe(probe: Probe, encoder: Encoder, metric: Metric) -> list[Finding]:
    prompt, answer = probe.item.prompt, probe.item.answer
    found = []
    gap = metric == "token_gap"
    if gap and not probe.wrong:
        found.append(Finding("no distractor", prompt, "has no wrong answer, token_gap needs one",
                             fatal=True))  # fmt: skip
    same = probe.wrong and probe.wrong == probe.answer[: len(probe.wrong)]
    if same or (gap and probe.wrong and probe.wrong[0] == probe.answer[0]):
        text = "wrong and correct answer start with the same token" if gap else (
            "wrong and correct answer are the same tokens")  # fmt: skip
        found.append(Finding("dead", prompt, text, fatal=True))
    if continuation(prompt, answer, encoder) is None:
        # Closed answers are asked for as they were trained: prompt and answer encoded apart.
        text = f"merges with its answer {answer!r}: encoded together, other tokens"
        found.append(Finding("merge", prompt, text, fatal=probe.open))
    return found


def _duplicates(packs: Sequence[Pack]) -> list[Finding]:
    found = []
    seen: dict[str, tuple[int, str]] = {}
    for k, pack in enumerate(packs):
        for role, probes in (("target", pack.target), ("control", pack.control)):
            for p in probes:
                where = seen.setdefault(p.item.prompt, (k, p.item.answer))
                if where[0] != k:
                    found.append(Finding("duplicate", p.item.prompt,
                                         f"is a {role} in two splits", fatal=True))  # fmt: skip
                elif where[1] != p.item.answer:
                    found.append(Finding("conflict", p.item.prompt,
                                         "has two right answers", fatal=True))  # fmt: skip
    return found


def _text(tokens: tuple[int, ...]) -> str:
    return f"its wrong answer (token {tokens[0]})"
