"""All measurements as one picture: bandwidth and products left, tokens right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bankai_edge.bench.measurements import Measurements
from bankai_edge.shapes import q1_bytes
from bankai_edge.svg import COLOURS, bar, document, dot, line, path, words

WIDTH, HEIGHT = 960, 420
TOP, BOTTOM = 70, 360  # of both panels
LEFT_PANEL, RIGHT_PANEL = (70, 470), (580, 930)


def picture(found: Measurements) -> str:
    """The SVG document."""
    title = f"{found.model.name} on {found.machine.cpu} ({found.model.kernel})"
    parts = [
        words(WIDTH / 2, 28, title, size=16, anchor="middle"),
        *_bandwidth_panel(found),
        *_token_panel(found),
    ]
    return document(WIDTH, HEIGHT, parts)


def _bytes_name(n: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= size:
            return f"{n / size:g} {unit}"
    return f"{n} B"


def _bandwidth_panel(found: Measurements) -> Iterable[str]:
    """Bytes/s over bytes, both logarithmic: lines are reads, dots are products of the kernels."""
    left, right = LEFT_PANEL
    points = [(r.n_bytes, r.bytes_per_s) for r in found.bandwidth]
    points += [(q1_bytes(p.rows * p.cols), p.bytes_per_s) for p in found.products]
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
    for n in sorted({r.n_bytes for r in found.bandwidth})[::2]:
        yield words(place(n, 10**y0)[0], BOTTOM + 16, _bytes_name(n), size=9, anchor="middle")
    for i, threads in enumerate(sorted({r.threads for r in found.bandwidth})):
        colour = COLOURS[i % len(COLOURS)]
        mine = [place(r.n_bytes, r.bytes_per_s) for r in found.bandwidth if r.threads == threads]
        yield path(mine, colour)
        yield words(right + 4, mine[-1][1] + 4, f"{threads} thr.", fill=colour)
        for p in found.products:
            if p.threads == threads:
                x, y = place(q1_bytes(p.rows * p.cols), p.bytes_per_s)
                label = f"{p.kernel} {p.rows} x {p.cols}: {p.bytes_per_s / 1e9:.2f} GB/s"
                yield dot(x, y, 4, colour, label, opacity=0.6)


def _log_range(values: Iterable[float]) -> tuple[float, float]:
    logs = [math.log10(v) for v in values if v > 0]
    low, high = min(logs), max(logs)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _token_panel(found: Measurements) -> Iterable[str]:
    """A bar for each test and thread count, on a linear scale; the whisker is the spread."""
    left, right = RIGHT_PANEL
    rows: Sequence[tuple[str, float, float, int]] = [
        (f"{t.test}, {t.threads} thr.", t.per_s, t.spread, t.threads) for t in found.tokens
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
        yield from bar(name, left, y + height * 0.2, height * 0.6, speed, spread, scale, colour)
