"""Small SVG pictures, written by hand: the marks that every plot is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

BLUE, RED, GREEN, AMBER, VIOLET, SLATE = COLOURS = (
    "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#475569",
)  # fmt: skip
INK = "#111"


def document(width: int, height: int, parts: Sequence[str]) -> str:
    """A whole SVG file: the parts on white."""
    white = f'<rect width="{width}" height="{height}" fill="white"/>'
    return _svg(width, height, "", (white, *parts)) + "\n"


def inline(width: int, height: int, parts: Sequence[str]) -> str:
    """A picture to stand in an HTML page, as wide as it is drawn."""
    return _svg(width, height, f'width="{width}" ', parts)


def _svg(width: int, height: int, more: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {more}'
        'font-family="sans-serif">\n' + "\n".join(parts) + "\n</svg>"
    )


def words(
    x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", fill: str = INK
) -> str:
    """A text at (x, y); `anchor` says which of its points that is."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )


def line(x0: float, y0: float, x1: float, y1: float, colour: str = "#ddd") -> str:
    """A straight line."""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"/>'


def path(points: Iterable[tuple[float, float]], colour: str) -> str:
    """Straight lines from point to point."""
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'


def dot(x: float, y: float, radius: float, colour: str, label: str = "", opacity: float = 1) -> str:
    """A disc; hovering shows its label."""
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}" '
        f'fill-opacity="{opacity:g}"><title>{escape(label)}</title></circle>'
    )


def box(x: float, y: float, width: float, height: float, colour: str, more: str = "") -> str:
    """A filled rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:.1f}" width="{width:.1f}" height="{height:g}" '
        f'fill="{colour}"{more}/>'
    )


def bar(
    name: str, left: float, y: float, height: float, value: float, spread: float,
    scale: float, colour: str,
) -> list[str]:  # fmt: skip
    """A value as a bar `height` high from (left, y), named; its spread as a whisker, in figures."""
    middle, high = y + height / 2, left + (value + spread) * scale
    return [
        words(left - 6, middle + 4, name, anchor="end"),
        box(left, y, value * scale, height, colour),
        line(left + (value - spread) * scale, middle, high, middle, INK),
        words(high + 4, middle + 4, f"{value:,.1f}"),
    ]
