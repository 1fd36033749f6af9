"""Patches as sets of flips: what two share, and their XOR.

A flip undoes itself, so the XOR of patches is the symmetric difference of their flips, whatever the
order. A row and a bit of that row are different flips: both are kept, and the bit ends as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from bankai_edge._facts import PROJECTIONS
from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.patch.bkp import Patch
from bankai_edge.patch.flips import Flip
from bankai_edge.patch.refusals import short_id

Flips = frozenset[Flip]
Row = tuple[int, int, int]
"""(layer, projection, row)."""


class Difference(NamedTuple):
    """Flips of two patches, by whose they are; and rows that both flip something in."""

    only_first: Patch
    only_second: Patch
    both: Patch
    shared_rows: tuple[Row, ...]

    @property
    def same(self) -> bool:
        """Whether both flip the same."""
        return not self.only_first.n_flips and not self.only_second.n_flips


def difference(first: Patch, second: Patch) -> Difference:
    """What only the first flips, only the second, and both: that cancels when they are stacked."""
    return Difference(
        _combined(first, second, lambda a, b: a - b),
        _combined(first, second, lambda a, b: b - a),
        _combined(first, second, lambda a, b: a & b),
        tuple(sorted(touched_rows(first) & touched_rows(second))),
    )


def _combined(a: Patch, b: Patch, of: Callable[[Flips, Flips], Flips]) -> Patch:
    """An unbound patch of the flips that `of` makes from those of two, kind by kind."""
    return Patch(
        "combined",
        rows=tuple(sorted(of(frozenset(a.rows), frozenset(b.rows)))),
        groups=tuple(sorted(of(frozenset(a.groups), frozenset(b.groups)))),
        bits=tuple(sorted(of(frozenset(a.bits), frozenset(b.bits)))),
    )


def compose(patches: Sequence[Patch], name: str) -> Patch:
    """One patch that does what all of them together do; still unbound.

    Its provenance lists the parts by name, in alphabetical order: the order of the arguments
    changes nothing.

    Raises:
        IncompatibleError: they are bound to different models (exit 4).
        BankaiError: they cancel each other, so that nothing is left.
    """
    same_model(patches)
    whole = Patch(name)
    for patch in patches:
        whole = _combined(whole, patch, lambda a, b: a ^ b)
    if not whole.n_flips:
        raise BankaiError(
            "the patches cancel each other: no flip is left", expected="patches that differ"
        )
    domains = sorted({patch.domain for patch in patches if patch.domain})
    parts = sorted(patch.name for patch in patches)
    return replace(
        whole,
        name=name,
        domain=", ".join(domains) or None,
        canaries=_canaries(patches),
        provenance={"composed": parts},
    )


def _canaries(patches: Sequence[Patch]) -> tuple[tuple[str, str], ...]:
    """All canaries on whose answers the parts agree, each once."""
    answers: dict[str, set[str]] = {}
    for patch in patches:
        for prompt, answer in patch.canaries:
            answers.setdefault(prompt, set()).add(answer)
    return tuple(
        (prompt, min(found)) for prompt, found in sorted(answers.items()) if len(found) == 1
    )


def same_model(patches: Sequence[Patch]) -> bytes | None:
    """The model id that all bound ones name; None when none is bound.

    Raises:
        IncompatibleError: they name different models (exit 4).
    """
    named = {patch.model_id: patch for patch in patches if patch.model_id}
    if len(named) > 1:
        (first, a), (second, b) = sorted(named.items())[:2]
        raise IncompatibleError(
            f"{a.name} is for model {short_id(first)}, {b.name} for model {short_id(second)}",
            expected="patches of one model",
        )
    return next(iter(named), None)


def touched_rows(patch: Patch) -> frozenset[Row]:
    """Every row in which it flips something."""
    flips = (*patch.rows, *patch.groups, *patch.bits)
    return frozenset((flip[0], flip[1], flip[2]) for flip in flips)


def sections(patch: Patch) -> dict[tuple[int, int], Patch]:
    """The patch cut by (layer, projection), in order; each part unbound."""
    where = sorted({row[:2] for row in touched_rows(patch)})
    return {
        (layer, projection): Patch(
            patch.name,
            rows=tuple(f for f in patch.rows if f[:2] == (layer, projection)),
            groups=tuple(f for f in patch.groups if f[:2] == (layer, projection)),
            bits=tuple(f for f in patch.bits if f[:2] == (layer, projection)),
        )
        for layer, projection in where
    }


def section_counts(patch: Patch) -> dict[str, int]:
    """Flips of each "layer.projection"."""
    counts = Counter(flip[:2] for flip in (*patch.rows, *patch.groups, *patch.bits))
    return {f"{layer}.{PROJECTIONS[p]}": n for (layer, p), n in sorted(counts.items())}
