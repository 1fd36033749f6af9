"""Goals: what a search shall teach, and what it must leave alone, cut into packs that never mix.

A goal is named ``nano:FORM`` (a form of domains.py), ``nano:strong`` (all that the nano was trained
on: as controls), ``general:math`` and its like (general.py), or is a file of probes
(files.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bankai_edge.errors import UsageError
from bankai_edge.probes import files, general
from bankai_edge.probes.domains import Item, forms, items
from bankai_edge.probes.files import Entry
from bankai_edge.probes.packs import (
    JUDGE,
    SEARCH,
    VALIDATION,
    Encoder,
    Pack,
    Probe,
    Sizes,
    judge_pack,
    known_form,
    search_packs,
    tokenise,
)

NANO = "nano:"
GENERAL = "general:"
STRONG = "nano:strong"
Parts = dict[str, tuple[Probe, ...]]
"""``train``, ``validation`` and ``heldout`` probes."""


@dataclass(frozen=True)
class Goals:
    """All probes of one search."""

    names: tuple[str, ...]  # of the targets
    domain: str | None
    search: Pack
    validation: Pack
    heldout: Pack


def load(
    targets: tuple[str, ...],
    controls: tuple[str, ...],
    encoder: Encoder,
    seed: int,
    sizes: tuple[Sizes, Sizes, Sizes] = (SEARCH, VALIDATION, JUDGE),
) -> Goals:
    """Targets and controls by name, each in three disjoint parts.

    Without controls, a nano form is guarded by every form that the nano was trained on.

    Raises:
        UsageError: no target, an unknown form, a file of another format.
    """
    if not targets:
        raise UsageError("a search without a target", next_step="Give --target")
    if not controls and all(name.startswith(NANO) for name in targets):
        controls = (STRONG,)
    share = tuple(Sizes(-(-s.target // len(targets)), s.control) for s in sizes)
    goals = [_parts(name, encoder, seed, (share[0], share[1], share[2])) for name in targets]
    guards = [_parts(name, encoder, seed, sizes, control=True) for name in controls]
    packs, guarded = [], set[str]()  # a form and nano:strong may deal one item into two splits
    for split in ("heldout", "train", "validation"):
        control = tuple(
            p
            for name, (parts, _) in zip(controls, guards, strict=True)
            for p in parts[split]
            if not (name.startswith(NANO) and p.item.prompt in guarded)
        )
        guarded |= {p.item.prompt for p in control}
        target = tuple(p for parts, _ in goals for p in parts[split])
        packs.append(Pack(target, control, tuple(len(parts[split]) for parts, _ in goals)))
    packs = [packs[1], packs[2], packs[0]]
    for split, pack in zip(("train", "validation", "heldout"), packs, strict=True):
        if not pack.target:
            raise UsageError(f"no target probe is in the {split} split",
                             next_step="Give more probes, or mark their splits")  # fmt: skip
    domains = {domain for _, domain in goals}
    names = tuple(_short(name) for name in targets)
    return Goals(names, domains.pop() if len(domains) == 1 else None, *packs)


def _short(name: str) -> str:
    for start in (NANO, GENERAL):
        if name.startswith(start):
            return name.removeprefix(start)
    return Path(name).stem


def _parts(
    name: str, encoder: Encoder, seed: int, sizes: tuple[Sizes, Sizes, Sizes],
    control: bool = False,
) -> tuple[Parts, str | None]:  # fmt: skip
    if name.startswith(GENERAL):
        kind = name.removeprefix(GENERAL)
        if kind not in general.SETS:
            raise UsageError(f"no set is called {name!r}",
                             expected=f"general: and one of {', '.join(general.SETS)}")  # fmt: skip
        return _listed(files.parse(general.entries(kind), name), encoder), kind
    if not name.startswith(NANO):
        return _listed(files.read(Path(name)), encoder), None
    if name == STRONG:
        if not control:
            raise UsageError(f"{STRONG} is no target", expected="a form, as nano:add_question")
        form = forms(strong=False)[0].name
        packs = (*search_packs(form, encoder, seed, *sizes[:2]), judge_pack(form, encoder))
        return _named(*(pack.control for pack in packs)), None
    form = name.removeprefix(NANO)
    domain = known_form(form).domain
    if control:
        found = items(domain, form, "probe")
        random.Random(f"control|{form}|{seed}").shuffle(found)
        n, m = sizes[0].control, sizes[1].control
        held = items(domain, form, "heldout", sizes[2].control)
        cut = min(n, len(found) * n // (n + m))
        parts = (found[:cut], found[cut : cut + m], held)
        return _named(*(tokenise(part, encoder) for part in parts)), domain
    first, second = search_packs(form, encoder, seed, *sizes[:2])
    judge = judge_pack(form, encoder, sizes[2])
    return _named(first.target, second.target, judge.target), domain


def _named(*parts: tuple[Probe, ...]) -> Parts:
    return dict(zip(("train", "validation", "heldout"), parts, strict=True))


def _listed(entries: Iterable[Entry], encoder: Encoder) -> Parts:
    parts: dict[str, list[Probe]] = {"train": [], "validation": [], "heldout": []}
    for entry in entries:
        parts[entry.split].append(_probe(entry, encoder))
    return {split: tuple(some) for split, some in parts.items()}


def _probe(entry: Entry, encoder: Encoder) -> Probe:
    item = Item(entry.category or "probes", entry.name, entry.prompt, entry.correct, entry.split)
    answer = in_context(entry.prompt, entry.correct, encoder)
    closed = entry.end
    if closed and encoder.eos_id is not None:
        answer = (*answer, encoder.eos_id)
    return Probe(
        item,
        tuple(encoder.encode(entry.prompt)),
        answer,
        in_context(entry.prompt, entry.wrong[0], encoder) if entry.wrong else (),
        not closed,
        entry.alternates,
    )


def in_context(prompt: str, answer: str, encoder: Encoder) -> tuple[int, ...]:
    """An answer's tokens behind its prompt; encoded alone where the two merge (see audit)."""
    start, whole = encoder.encode(prompt), encoder.encode(prompt + answer)
    if whole[: len(start)] == start and len(whole) > len(start):
        return tuple(whole[len(start) :])
    return tuple(encoder.encode(answer))
