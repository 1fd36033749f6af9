"""The HTML report's plots: a heat map, shifts, a curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bankai_edge._facts import PROJECTIONS
from bankai_edge.svg import AMBER, BLUE, GREEN, INK, RED, box, dot, inline, line, path, words

CELL_W, CELL_H = 92, 26
COLOURS = {"fixed": GREEN, "broken": RED, "right": "#94a3b8", "wrong": AMBER}
AXIS = "#cbd5e1"
WIDTH = 760


def heat_map(values: Mapping[tuple[int, int], float], layers: int, note: str) -> str:
    """Values by (layer, projection): blue above 0, red below; cells without one are left empty."""
    most = max((abs(v) for v in values.values()), default=0.0) or 1.0
    parts = [words(4, 14, note)]
    for p, name in enumerate(PROJECTIONS):
        parts.append(
            words(60 + (p + 0.5) * CELL_W, 34, name.removesuffix("_proj"), anchor="middle")
        )
    for layer in range(layers):
        y = 42 + layer * CELL_H
        parts.append(words(52, y + 17, f"layer {layer}", anchor="end"))
        for p in range(len(PROJECTIONS)):
            value = values.get((layer, p))
            colour = "none" if value is None else BLUE if value >= 0 else RED
            opacity = 0.0 if value is None else 0.08 + 0.92 * abs(value) / most
            more = f' fill-opacity="{opacity:.2f}" stroke="#e5e7eb"'
            parts.append(box(60 + p * CELL_W, y, CELL_W - 2, CELL_H - 2, colour, more))
            if value is not None:
                dark = "#fff" if opacity > 0.6 else INK
                parts.append(
                    words(
                        60 + (p + 0.5) * CELL_W - 1,
                        y + 17,
                        f"{value:+.3g}",
                        anchor="middle",
                        fill=dark,
                    )
                )
    return inline(60 + len(PROJECTIONS) * CELL_W + 4, 48 + layers * CELL_H, parts)


def shift_plot(points: Sequence[tuple[float, str, str]], note: str) -> str:
    """(change, outcome, label) of every probe, in ascending order; hovering shows the label."""
    height, left, right, top, bottom = 260, 50, WIDTH - 10, 30, 240
    ordered = sorted(points)
    low = min([0.0, *(x for x, _, _ in ordered)])
    high = max([0.0, *(x for x, _, _ in ordered)])
    span = (high - low) or 1.0
    zero = bottom - (0 - low) / span * (bottom - top)
    parts = [
        words(4, 14, note),
        line(left, zero, right, zero, AXIS),
        words(left - 4, zero + 4, "0", anchor="end"),
    ]
    parts.append(words(left - 4, top + 8, f"{high:+.2g}", anchor="end"))
    parts.append(words(left - 4, bottom, f"{low:+.2g}", anchor="end"))
    for i, (x, outcome, label) in enumerate(ordered):
        at = left + (i + 0.5) / len(ordered) * (right - left)
        y = bottom - (x - low) / span * (bottom - top)
        tip = f"{label}: {x:+.3f}, {outcome}"
        parts.append(dot(at, y, 2.5, COLOURS[outcome], tip))
    for i, (name, colour) in enumerate(COLOURS.items()):
        parts.append(words(left + 10 + i * 70, height - 4, "● " + name, fill=colour))
    return inline(WIDTH, height, parts)


def curve(points: Sequence[tuple[float, float]], note: str) -> str:
    """A line through (x, y), x on a logarithmic scale; an x of 0 stands left of all others."""
    height, left, right, top, bottom = 240, 60, WIDTH - 40, 30, 200
    logs = [math.log10(x) for x, _ in points if x > 0]
    if not logs:
        return ""
    first, last = min(logs) - 0.5, max(logs)
    low, high = min(y for _, y in points), max(y for _, y in points)
    span_x, span_y = (last - first) or 1.0, (high - low) or 1.0
    placed = [
        (
            left + ((math.log10(x) if x > 0 else first) - first) / span_x * (right - left),
            bottom - (y - low) / span_y * (bottom - top),
        )
        for x, y in points
    ]
    parts = [
        words(4, 14, note),
        line(left, bottom, right, bottom, AXIS),
        path(placed, BLUE),
    ]
    for (x, y), (px, py) in zip(points, placed, strict=True):
        parts.append(dot(px, py, 3, BLUE))
        parts.append(words(px, bottom + 16, f"{x:.3g}", anchor="middle"))
        parts.append(words(px, py - 7, f"{y:.4g}", anchor="middle"))
    return inline(WIDTH, height, parts)
