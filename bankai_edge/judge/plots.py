"""Small SVG pictures, written by hand, for the report: a heat map, shifts, a curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from bankai_edge.patch.flips import PROJECTIONS

CELL_W, CELL_H = 92, 26
GOOD, BAD, QUIET = "#2563eb", "#dc2626", "#94a3b8"
COLOURS = {"fixed": "#059669", "broken": BAD, "right": QUIET, "wrong": "#d97706"}
WIDTH = 760


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = "#111") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" font-family="sans-serif">\n' + "\n".join(parts) + "\n</svg>"
    )


def heat_map(values: Mapping[tuple[int, int], float], layers: int, note: str) -> str:
    """Values by (layer, projection): blue above 0, red below; cells without one are left empty."""
    most = max((abs(v) for v in values.values()), default=0.0) or 1.0
    parts = [_text(4, 14, note)]
    for p, name in enumerate(PROJECTIONS):
        parts.append(_text(60 + (p + 0.5) * CELL_W, 34, name.removesuffix("_proj"), "middle"))
    for layer in range(layers):
        y = 42 + layer * CELL_H
        parts.append(_text(52, y + 17, f"layer {layer}", "end"))
        for p in range(len(PROJECTIONS)):
            value = values.get((layer, p))
            colour = "none" if value is None else GOOD if value >= 0 else BAD
            opacity = 0.0 if value is None else 0.08 + 0.92 * abs(value) / most
            parts.append(
                f'<rect x="{60 + p * CELL_W}" y="{y}" width="{CELL_W - 2}" height="{CELL_H - 2}" '
                f'fill="{colour}" fill-opacity="{opacity:.2f}" stroke="#e5e7eb"/>'
            )
            if value is not None:
                dark = "#fff" if opacity > 0.6 else "#111"
                parts.append(
                    _text(60 + (p + 0.5) * CELL_W - 1, y + 17, f"{value:+.3g}", "middle", dark)
                )
    return _svg(60 + len(PROJECTIONS) * CELL_W + 4, 48 + layers * CELL_H, parts)


def shift_plot(points: Sequence[tuple[float, str, str]], note: str) -> str:
    """(change, outcome, label) of every probe, in ascending order; hovering shows the label."""
    height, left, right, top, bottom = 260, 50, WIDTH - 10, 30, 240
    ordered = sorted(points)
    low = min([0.0, *(x for x, _, _ in ordered)])
    high = max([0.0, *(x for x, _, _ in ordered)])
    span = (high - low) or 1.0
    zero = bottom - (0 - low) / span * (bottom - top)
    parts = [_text(4, 14, note), _axis(left, right, zero), _text(left - 4, zero + 4, "0", "end")]
    parts.append(_text(left - 4, top + 8, f"{high:+.2g}", "end"))
    parts.append(_text(left - 4, bottom, f"{low:+.2g}", "end"))
    for i, (x, outcome, label) in enumerate(ordered):
        at = left + (i + 0.5) / len(ordered) * (right - left)
        y = bottom - (x - low) / span * (bottom - top)
        tip = escape(f"{label}: {x:+.3f}, {outcome}")
        parts.append(
            f'<circle cx="{at:.1f}" cy="{y:.1f}" r="2.5" fill="{COLOURS[outcome]}">'
            f"<title>{tip}</title></circle>"
        )
    for i, (name, colour) in enumerate(COLOURS.items()):
        parts.append(_text(left + 10 + i * 70, height - 4, "● " + name, fill=colour))
    return _svg(WIDTH, height, parts)


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
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts = [
        _text(4, 14, note),
        _axis(left, right, bottom),
        f'<polyline points="{path}" fill="none" stroke="{GOOD}" stroke-width="2"/>',
    ]
    for (x, y), (px, py) in zip(points, placed, strict=True):
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{GOOD}"/>')
        parts.append(_text(px, bottom + 16, f"{x:.3g}", "middle"))
        parts.append(_text(px, py - 7, f"{y:.4g}", "middle"))
    return _svg(WIDTH, height, parts)


def _axis(left: float, right: float, y: float) -> str:
    return f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#cbd5e1"/>'
