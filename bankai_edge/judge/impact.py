"""What random flips do: matrix by matrix (the layer map), and more and more (robustness)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bankai_edge._facts import GROUP, PROJECTIONS
from bankai_edge.errors import UsageError
from bankai_edge.judge.comparison import Judge
from bankai_edge.judge.matrices import Place, matrices
from bankai_edge.judge.texts import Documents, TextChange, compare_text
from bankai_edge.model import Model
from bankai_edge.patch.bkp import Patch, encode
from bankai_edge.patch.flips import Flip

Kind = Literal["bit", "row"]
MLP = (4, 5, 6)
SHARES = (0.001, 0.01, 0.03, 0.05, 0.1)
MOST_FLIPS = 4_000_000  # a patch of more takes minutes to write down


@dataclass(frozen=True)
class Cell:
    """Random flips in one matrix; means over the draws and probes."""

    layer: int
    projection: int
    flips: int
    shift: float  # change of the answers' log-probability
    broken: float  # share of right answers that turned wrong (teacher-forced)


@dataclass(frozen=True)
class Point:
    """Random flips of a share of all weights."""

    share: float
    flips: int
    right: float  # share of probes answered right, greedy
    shift: float  # mean change of the answers' log-probability
    text: TextChange | None


def matrix_sizes(model: Model) -> dict[Place, tuple[int, int]]:
    """Rows and columns of every matrix that patches reach."""
    return {k: (len(b), b.shape[1] * GROUP) for k, b in matrices(model).items()}


def random_flips(
    sizes: dict[Place, tuple[int, int]], share: float, seed: int, kind: Kind = "bit"
) -> Patch:
    """Flips of `share` of the bits or rows of each of these matrices, at least one in each.

    Raises:
        UsageError: a share outside (0, 1], or more flips than a patch should hold (exit 2).
    """
    if not 0 < share <= 1:
        raise UsageError(f"a share of {share}", expected="more than 0 and at most 1")
    total = share * sum(
        rows * (columns if kind == "bit" else 1) for rows, columns in sizes.values()
    )
    if total > MOST_FLIPS:
        raise UsageError(
            f"{total:.0f} flips",
            expected=f"at most {MOST_FLIPS}",
            next_step="Ask for a smaller share",
        )
    flips: list[Flip] = []
    for (layer, projection), (rows, columns) in sorted(sizes.items()):
        rng = np.random.default_rng([seed, layer, projection])
        n = rows * columns if kind == "bit" else rows
        count = max(1, round(share * n))
        places = np.sort(rng.choice(n, count, replace=False)).tolist()
        if kind == "bit":
            flips += [(layer, projection, *divmod(place, columns)) for place in places]
        else:
            flips += [(layer, projection, place) for place in places]
    found = tuple(flips)
    return Patch("random", bits=found) if kind == "bit" else Patch("random", rows=found)


def layer_map(
    judge: Judge,
    *,
    share: float = 0.01,
    kind: Kind = "bit",
    draws: int = 1,
    seed: int = 0,
    say: Callable[[str], None] = lambda what: None,
) -> list[Cell]:
    """How much random flips of `share` of each matrix move the judge's targets."""
    probes = [q.probe for q in judge.target]
    evaluator = judge.evaluator
    before = evaluator.scores(probes)
    cells = []
    for place, size in matrix_sizes(evaluator.model).items():
        say(f"layer {place[0]}, {PROJECTIONS[place[1]]}")
        shifts, broken, flips = 0.0, 0.0, 0
        for draw in range(draws):
            patch = random_flips({place: size}, share, seed + draw, kind)
            after = evaluator.scores(probes, [encode(patch)])
            shifts += float((after.logprob - before.logprob).mean())
            broken += float((before.right & ~after.right).sum()) / max(int(before.right.sum()), 1)
            flips = patch.n_flips
        cells.append(Cell(*place, flips, shifts / draws, broken / draws))
    return cells


def robustness(
    judge: Judge,
    shares: Sequence[float] = SHARES,
    *,
    projections: Sequence[int] = MLP,
    kind: Kind = "bit",
    seed: int = 0,
    documents: Documents | None = None,
    say: Callable[[str], None] = lambda what: None,
) -> list[Point]:
    """The model under more and more random flips; the first point has none."""
    model = judge.evaluator.model
    sizes = {k: v for k, v in matrix_sizes(model).items() if k[1] in projections}
    points = []
    for share in (0.0, *sorted(set(shares))):
        say(f"{share:.2%} of the {kind}s flipped")
        patch = random_flips(sizes, share, seed, kind) if share else None
        active = [encode(patch)] if patch else []
        side, _ = judge.sides(active)
        text = compare_text(model, documents, active) if documents else None
        points.append(
            Point(
                share,
                patch.n_flips if patch else 0,
                float(side.after.right.mean()),
                float(side.shift.mean()),
                text,
            )
        )
    return points


def cell_json(cell: Cell) -> dict[str, Any]:
    """Plain values."""
    return {**vars(cell), "projection": PROJECTIONS[cell.projection]}


def point_json(point: Point) -> dict[str, Any]:
    """Plain values."""
    return {**vars(point), "text": point.text.as_json() if point.text else None}


def perplexity_of(point: Point) -> float:
    """Perplexity under the flips; NaN when no text was read."""
    return point.text.perplexity_after if point.text else math.nan
