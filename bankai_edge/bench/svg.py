"""A report as one SVG picture, written by hand: bandwidth and products left, tokens right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from bankai_edge.bench.report import Report

WIDTH, HEIGHT = 960, 420
TOP, BOTTOM = 70, 360  # of both panels
LEFT_PANEL, RIGHT_PANEL = (70, 470), (580, 930)
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#475569")


def picture(report: Report) -> str:
    """The SVG document."""
    title = f"{report.model.name} on {report.machine.cpu} ({report.model.kernel})"
    parts = [
        words(WIDTH / 2, 28, title, size=16, anchor="middle"),
        *_bandwidth_panel(report),
        *_token_panel(report),
    ]
    return document(WIDTH, HEIGHT, parts)


def document(width: int, height: int, parts: Sequence[str]) -> str:
    """A whole SVG file: the parts on white."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif">\n<rect width="{width}" height="{height}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def words(
    x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", fill: str = "#111"
) -> str:
    """A text at (x, y); `anchor` says which of its points that is."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )


def line(x0: float, y0: float, x1: float, y1: float, colour: str = "#ddd") -> str:
    """A straight line."""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"/>'


def _bytes_name(n: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= size:
            return f"{n / size:g} {unit}"
    return f"{n} B"


def _bandwidth_panel(report: Report) -> Iterable[str]:
    """Bytes/s over bytes, both logarithmic: lines are reads, dots are products of the kernels."""
    left, right = LEFT_PANEL
    points = [(r.n_bytes, r.bytes_per_s) for r in report.bandwidth]
    points += [(p.rows * p.cols // 128 * 18, p.bytes_per_s) for p in report.products]
    if not points:
        return
    x0, x1 = _log_range(x for x, _ in points)
    y0, y1 = _log_range(y for _, y in points)

    def place(n: float, speed: float) -> tuple[float, float]:
        x = left + (math.log10(n) - x0) / (x1 - x0) * (right - left)
        return x, BOTTOM - (math.log10(speed) - y0) / (y1 - y0) * (BOTTOM - TOP)

    yield words(left, TOP - 16, "GB/s over bytes: lines read memory, dots multiply", size=12)
    for exponent in range(math.floor(y0), math.ceil(y1) + 1):
        for digit in (1, 2, 5):
            speed = digit * 10.0**exponent
            if y0 <= math.log10(speed) <= y1:
                y = place(10**x0, speed)[1]
                yield line(left, y, right, y)
                yield words(left - 6, y + 4, f"{speed / 1e9:g}", anchor="end")
    for n in sorted({r.n_bytes for r in report.bandwidth})[::2]:
        yield words(place(n, 10**y0)[0], BOTTOM + 16, _bytes_name(n), size=9, anchor="middle")
    for i, threads in enumerate(sorted({r.threads for r in report.bandwidth})):
        colour = COLOURS[i % len(COLOURS)]
        mine = [place(r.n_bytes, r.bytes_per_s) for r in report.bandwidth if r.threads == threads]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in mine)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield words(right + 4, mine[-1][1] + 4, f"{threads} thr.", fill=colour)
        for p in report.products:
            if p.threads == threads:
                x, y = place(p.rows * p.cols // 128 * 18, p.bytes_per_s)
                label = escape(f"{p.kernel} {p.rows} x {p.cols}: {p.bytes_per_s / 1e9:.2f} GB/s")
                yield (
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}" fill-opacity="0.6">'
                    f"<title>{label}</title></circle>"
                )


def _log_range(values: Iterable[float]) -> tuple[float, float]:
    logs = [math.log10(v) for v in values if v > 0]
    low, high = min(logs), max(logs)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _token_panel(report: Report) -> Iterable[str]:
    """A bar for each test and thread count, on a linear scale; the whisker is the spread."""
    left, right = RIGHT_PANEL
    rows: Sequence[tuple[str, float, float, int]] = [
        (f"{t.test}, {t.threads} thr.", t.per_s, t.spread, t.threads) for t in report.tokens
    ]
    if not rows:
        return
    longest = max(speed + spread for _, speed, spread, _ in rows)
    threads = sorted({row[3] for row in rows})
    height = (BOTTOM - TOP) / len(rows)
    yield words(left, TOP - 16, "tokens/s", size=12)
    for i, (name, speed, spread, count) in enumerate(rows):
        y = TOP + i * height
        scale = (right - left - 60) / longest
        colour = COLOURS[threads.index(count) % len(COLOURS)]
        yield (
            f'<rect x="{left}" y="{y + height * 0.2:.1f}" width="{speed * scale:.1f}" '
            f'height="{height * 0.6:.1f}" fill="{colour}"/>'
        )
        middle = y + height / 2
        yield line(
            left + (speed - spread) * scale, middle, left + (speed + spread) * scale, middle, "#111"
        )
        yield words(left - 6, middle + 4, name, anchor="end")
        yield words(left + (speed + spread) * scale + 4, middle + 4, f"{speed:,.1f}")
