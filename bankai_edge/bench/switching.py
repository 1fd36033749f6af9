"""Switching patch sets: what a switch takes, and what an active set costs per token."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from bankai_edge import _patch
from bankai_edge.bench.timing import Samples, repeat, samples
from bankai_edge.bench.tokens import Runner
from bankai_edge.model import Model, Session
from bankai_edge.model.session import Mode
from bankai_edge.patch import Patch, encode
from bankai_edge.patch.bind import bind

ROWS = 93  # as many as the published method's patches flip
FIRST, STEPS = 8, 8  # positions at which a step is timed: the first, and how many before it again


@dataclass(frozen=True)
class SwitchSpeed:
    """One way of applying: a patch of `rows` row flips switched on and off, and left on.

    `switch` are seconds of `Session.use` for a set not seen before or written in place (verify and
    apply), or for a prepared overlay. `slowdown` is a decode step with the patch over one without.
    """

    what: str
    rows: int
    switch: Samples
    slowdown: float | None = None


def random_patch(model: Model, seed: int, *, rows: int = ROWS, bits: int = 0) -> bytes:
    """A bound .bkp of rows (at most an eighth of the model's) and bits all over the model."""
    s = model.shape
    sizes = s.layer_matrices
    rng = random.Random(seed)
    rows = min(rows, s.layers * sum(n for n, _ in sizes) // 8)

    def place() -> tuple[int, int, int]:
        projection = rng.randrange(len(sizes))
        return rng.randrange(s.layers), projection, rng.randrange(sizes[projection][0])

    row_flips: set[tuple[int, int, int]] = set()
    bit_flips: set[tuple[int, int, int, int]] = set()
    while len(row_flips) < rows:
        row_flips.add(place())
    while len(bit_flips) < bits:
        layer, projection, row = place()
        bit_flips.add((layer, projection, row, rng.randrange(sizes[projection][1])))
    patch = Patch(f"bench{seed}", rows=tuple(sorted(row_flips)), bits=tuple(sorted(bit_flips)))
    return encode(bind(patch, model))


def switch_speeds(model: Model, *, budget: float = 0.3) -> list[SwitchSpeed]:
    """First use as an overlay, return to it, in place; the last two with their cost per token.

    The model must be writable, have no flips in place, and is left so.
    """
    patch = random_patch(model, 1)
    rows = _patch.parse(patch)["rows"]
    overlay = Session(model, ctx=1)
    in_place = Session(model, ctx=1, mode="in-place")

    def first() -> None:
        model.overlays.clear()
        overlay.use([patch])

    firsts = repeat(first, least=50, budget=budget, most=5000)
    overlay.use([])
    return [
        SwitchSpeed("overlay, first use", rows, firsts),
        SwitchSpeed(
            "overlay, prepared", rows, _toggle(overlay, patch, budget),
            slowdown(model, patch, "overlay", budget=budget),
        ),
        SwitchSpeed(
            "in place", rows, _toggle(in_place, patch, budget),
            slowdown(model, patch, "in-place", budget=budget),
        ),
    ]  # fmt: skip


def _toggle(session: Session, patch: bytes, budget: float) -> Samples:
    """On and off in turn; ends with the patch off."""
    taken: list[float] = []
    end = time.perf_counter() + budget
    while len(taken) < 100 or (len(taken) < 20_000 and time.perf_counter() < end):
        for wanted in ([patch], []):
            start = time.perf_counter()
            session.use(wanted)
            taken.append(time.perf_counter() - start)
    return samples(taken)


def slowdown(
    model: Model, patch: bytes, mode: Mode, *, budget: float = 0.3, least: int = 24
) -> float:
    """A decode step with the patch over one without: the median over pairs of neighbours."""
    session = Session(model, ctx=1, mode=mode)
    active = _patch.Overlay(model.core, [patch]) if mode == "overlay" else None
    runner = Runner(model.core, model.pool, FIRST + STEPS)
    runner.prefill(FIRST, budget=0, least=1)

    def step(at: int, on: bool) -> float:
        if mode == "overlay":
            runner.state.set_overlay(active if on else None)
        else:
            session.use([patch] if on else [])
        return runner.step(at)

    ratios: list[float] = []
    end = time.perf_counter() + budget
    while len(ratios) < least or time.perf_counter() < end:
        at = FIRST + len(ratios) % STEPS
        # on first, off first, in turn: what the earlier step leaves in the caches cancels out
        order = (True, False) if len(ratios) % 2 else (False, True)
        took = {on: step(at, on) for on in order}
        ratios.append(took[True] / took[False])
    session.use([])
    return samples(ratios).p50
