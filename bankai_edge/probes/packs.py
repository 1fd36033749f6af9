"""Probes: items as token ids, cut into packs that search, choose and judge, and never mix.

A prompt is encoded alone and its answer alone, as the model was trained and as a device reads them;
the token that ends a text closes the answer, so that a right answer is also a finished one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bankai_edge.errors import UsageError
from bankai_edge.probes.domains import FORMS, Form, Item, forms, items


class Encoder(Protocol):
    """What probes need of a `bankai_edge.model.tokenizer.Tokenizer`."""

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text."""


@dataclass(frozen=True)
class Probe:
    """An item as token ids.

    `answer` ends with the token that ends a text, unless it is `open`: then more may follow it.
    `wrong` is the distractor, where there is one; `alternates` are other texts that count as right.
    """

    item: Item
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    wrong: tuple[int, ...] = ()
    open: bool = False
    alternates: tuple[str, ...] = ()

    @property
    def tokens(self) -> tuple[int, ...]:
        """All that the model reads: the prompt and the answer without its end token."""
        return self.prompt + self.answer[:-1]


@dataclass(frozen=True)
class Pack:
    """Targets, which should change, and controls, which should not."""

    target: tuple[Probe, ...]
    control: tuple[Probe, ...]
    parts: tuple[int, ...] = ()  # targets of each goal, one after the other; () when all are one's

    def weights(self) -> NDArray[np.float64]:
        """[targets]: each one's share of the mean, so that every goal counts the same."""
        parts = [n for n in self.parts or (len(self.target),) if n]
        return np.concatenate([np.full(n, 1 / (n * len(parts))) for n in parts])


@dataclass(frozen=True)
class Sizes:
    """How many probes a pack takes; controls are spread evenly over the strong forms."""

    target: int
    control: int


SEARCH = Sizes(600, 6000)
TUNING = Sizes(4000, 6000)
VALIDATION = Sizes(400, 8000)
JUDGE = Sizes(600, 1150)


def tokenise(chosen: Iterable[Item], encoder: Encoder) -> tuple[Probe, ...]:
    """Items as probes, in their order.

    Raises:
        UsageError: the model names no token that ends a text.
    """
    end = encoder.eos_id
    if end is None:
        raise UsageError("a model without an end-of-text token", expected="one that ends answers")
    return tuple(
        Probe(i, tuple(encoder.encode(i.prompt)), (*encoder.encode(i.answer), end)) for i in chosen
    )


def continuation(prompt: str, answer: str, encoder: Encoder) -> tuple[int, ...] | None:
    """An answer's tokens as they follow its prompt's in one text; None where the two merge."""
    start, whole = encoder.encode(prompt), encoder.encode(prompt + answer)
    return tuple(whole[len(start) :]) if whole[: len(start)] == start else None


def search_packs(
    form: str, encoder: Encoder, seed: int, search: Sizes = SEARCH, validation: Sizes = VALIDATION
) -> tuple[Pack, Pack]:
    """(search pack, validation pack) of a form, from the probe split; no item is in both.

    Forms with few probe items (products, facts) give what they have, in the same proportion. Only a
    search that wants more targets than `SEARCH` gets meanings which the model was trained on too.

    Raises:
        UsageError: an unknown form.
    """
    spec = known_form(form)
    few = min(search.target, SEARCH.target)
    target = _dealt(spec.domain, form, seed, few, validation.target)
    if search.target > few:
        target[0].extend(items(spec.domain, form, "train", search.target - few, seed))
    controls: tuple[list[Item], list[Item]] = ([], [])
    wanted = search.control, validation.control
    for name, n in _spread("probe", sum(wanted)).items():
        shares = (_share(n * some, max(sum(wanted), 1)) for some in wanted)
        dealt = _dealt(FORMS[name].domain, name, seed, *shares)
        for all_, part in zip(controls, dealt, strict=True):
            all_ += part
    controls[0].extend(_trained(controls[0], _share(search.control, len(forms(strong=True)))))
    first, second = (
        Pack(tokenise(t, encoder), tokenise(c, encoder))
        for t, c in zip(target, controls, strict=True)
    )
    return first, second


def _trained(chosen: Sequence[Item], wanted: int) -> list[Item]:
    """Items that the model was trained on, for the forms of which `chosen` has not `wanted`.

    Products and facts have few probe items, and nothing else would guard them.
    """
    have = Counter(item.form for item in chosen)
    return [
        item
        for f in forms(strong=True)
        if have[f.name] < wanted
        for item in items(f.domain, f.name, "train", wanted - have[f.name])
    ]


def judge_pack(form: str, encoder: Encoder, sizes: Sizes = JUDGE) -> Pack:
    """Held-out items of a form and of every strong form: the same ones for every seed.

    Raises:
        UsageError: an unknown form.
    """
    spec = known_form(form)
    target = items(spec.domain, form, "heldout", sizes.target)
    controls = _controls("heldout", sizes.control)
    return Pack(tokenise(target, encoder), tokenise(controls, encoder))


def known_form(name: str) -> Form:
    """The form called `name`."""
    if name not in FORMS:
        raise UsageError(f"no form is called {name!r}", expected=f"one of {', '.join(FORMS)}")
    return FORMS[name]


def _share(total: int, parts: int) -> int:
    return -(-total // parts)


def _controls(split: str, total: int) -> list[Item]:
    """About `total` items over all strong forms; what small forms lack, the others give."""
    chosen: list[Item] = []
    for name, n in _spread(split, total).items():
        supply = items(FORMS[name].domain, name, split)
        chosen += random.Random(f"control|{name}|{split}").sample(supply, n)
    return chosen


def _spread(split: str, total: int) -> dict[str, int]:
    """`total` items as evenly over the strong forms as their supply in a split allows."""
    supply = {f.name: len(items(f.domain, f.name, split)) for f in forms(strong=True)}
    by_size = sorted(supply, key=lambda name: (supply[name], name))
    shares: dict[str, int] = {}
    for i, name in enumerate(by_size):
        n = _share(total - sum(shares.values()), len(by_size) - i)
        shares[name] = min(n, supply[name])
    return shares


def _dealt(domain: str, form: str, seed: int, *wanted: int) -> Sequence[list[Item]]:
    """Disjoint random parts of a form's probe items, shrunk in proportion when they are few."""
    supply = items(domain, form, "probe")
    random.Random(f"probe|{form}|{seed}").shuffle(supply)
    shrink = min(1.0, len(supply) / sum(wanted))
    parts, at = [], 0
    for n in wanted:
        parts.append(supply[at : at + int(n * shrink)])
        at += int(n * shrink)
    return parts
