"""Goals: what a search shall teach, and what it must leave alone, cut into packs that never mix.

A goal is named ``nano:FORM`` (a form of domains.py), ``nano:strong`` (all that the nano was trained
on: as controls), or is a file or a built-in set of probes (files.py).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from bankai_edge.errors import UsageError
from bankai_edge.probes import files
from bankai_edge.probes.domains import forms, items
from bankai_edge.probes.files import as_probe
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
STRONG = "nano:strong"
SPLITS = ("train", "validation", "heldout")
Parts = dict[str, tuple[Probe, ...]]
"""The probes of each split."""


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
    for split, pack in zip(SPLITS, packs, strict=True):
        if not pack.target:
            raise UsageError(f"no target probe is in the {split} split",
                             next_step="Give more probes, or mark their splits")  # fmt: skip
    domains = {domain for _, domain in goals}
    names = tuple(_short(name) for name in targets)
    return Goals(names, domains.pop() if len(domains) == 1 else None, *packs)


def _short(name: str) -> str:
    for start in (NANO, files.GENERAL):
        if name.startswith(start):
            return name.removeprefix(start)
    return Path(name).stem


def _parts(
    name: str, encoder: Encoder, seed: int, sizes: tuple[Sizes, Sizes, Sizes],
    control: bool = False,
) -> tuple[Parts, str | None]:  # fmt: skip
    if not name.startswith(NANO):
        listed = [as_probe(entry, encoder) for entry in files.load(name)]
        some = (tuple(p for p in listed if p.item.split == split) for split in SPLITS)
        return _named(*some), _short(name) if name.startswith(files.GENERAL) else None
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
    return dict(zip(SPLITS, parts, strict=True))
