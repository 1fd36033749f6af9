"""Sites: the single flips that a search tries, of all three kinds in one order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, get_args

from bankai_edge._facts import PROJECTIONS
from bankai_edge.patch.bkp import Patch, encode
from bankai_edge.patch.flips import Flip

Site = tuple[int, int, int, int, int]
"""(kind, layer, projection, row, column); kind 0 flips a row (column 0), 1 a group, 2 a bit."""
Sites = frozenset[Site]
Granularity = Literal["row", "group", "bit"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
ROW, GROUP, BIT = range(3)


def in_patch(patch: Patch, sites: Iterable[Site]) -> Patch:
    """The patch with these flips in place of its own."""
    ordered = sorted(sites)

    def of(kind: int) -> tuple[Flip, ...]:
        end = 4 if kind == ROW else 5
        return tuple(site[1:end] for site in ordered if site[0] == kind)

    return replace(patch, rows=of(ROW), groups=of(GROUP), bits=of(BIT))


def as_bytes(sites: Iterable[Site]) -> list[bytes]:
    """The active set for an engine: one unbound patch, or none."""
    patch = in_patch(Patch("trial"), sites)
    return [encode(patch)] if patch.n_flips else []


def lowest_layer(sites: Iterable[Site], otherwise: int) -> int:
    """The first layer that the flips change."""
    return min((site[1] for site in sites), default=otherwise)


def named(site: Site) -> str:
    """How a log writes a flip: ``bit 0.gate_proj.17.203``."""
    kind, layer, projection, row, column = site
    tail = "" if kind == ROW else f".{column}"
    return f"{GRANULARITIES[kind]} {layer}.{PROJECTIONS[projection]}.{row}{tail}"
