"""The evaluation as one HTML file that needs nothing else: tables, plots, every changed answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from bankai_edge.judge.comparison import Comparison, Row, Side, net_interval_of
from bankai_edge.judge.impact import Cell, Point, perplexity_of
from bankai_edge.judge.plots import COLOURS, curve, heat_map, shift_plot
from bankai_edge.judge.statistics import mcnemar, wilson

SHOWN = 60  # changed answers listed of each kind
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; color: #111 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .7em; text-align: right }
th { border-bottom: 2px solid #cbd5e1 } td { border-bottom: 1px solid #e5e7eb }
td:first-child, th:first-child { text-align: left } svg { max-width: 100%; height: auto }
code { background: #f1f5f9; padding: 0 .2em } .note { color: #64748b }
"""


@dataclass(frozen=True)
class Page:
    """What the report is about and what was found."""

    model: str
    model_id: str
    layers: int
    patches: list[str]  # a line for each
    comparison: Comparison
    cells: list[Cell] = field(default_factory=list)
    curve: list[Point] = field(default_factory=list)


HEADER = ["", "n", "before", "after", "fixed", "broken", "net (95 %)", "p", "choice"]


def table_row(name: str, row: Row) -> list[str]:
    """A row's numbers as text, for every kind of table."""
    c = row.change
    low, high = net_interval_of(c)
    choice = f"{row.choice.before} → {row.choice.after} / {row.choice.n}" if row.choice else ""
    return [
        name,
        str(c.n),
        _share(c.before, c.n),
        _share(c.after, c.n),
        f"+{c.fixed}",
        f"−{c.broken} (≤ {wilson(c.broken, c.before)[1]:.1%})",
        f"{c.fixed - c.broken:+d} ({low:+.1%} … {high:+.1%})",
        f"{mcnemar(c.fixed, c.broken):.2g}",
        choice,
    ]


def _share(right: int, n: int) -> str:
    low, high = wilson(right, n)
    return f"{right / n:.3f} ({low:.3f}–{high:.3f})" if n else "–"


def rows_of(comparison: Comparison) -> list[list[str]]:
    """The whole table: targets, their categories, controls, theirs."""
    found = []
    for name, side in (("target", comparison.target), ("control", comparison.control)):
        if side is None:
            continue
        found.append(table_row(name, side.total))
        rows = side.rows
        if len(rows) > 1:
            found += [table_row("  " + row.name, row) for row in rows]
    return found


def html(page: Page) -> str:
    """The document."""
    c = page.comparison
    parts = [
        f"<h1>{escape(page.model)}, base against patched</h1>",
        f'<p class="note">model id <code>{page.model_id}</code></p>',
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in page.patches) + "</ul>",
        "<p>Right is greedy exact match. Intervals hold 95 %: Wilson for shares, exact McNemar for "
        "the net change and its p.</p>",
        _table(HEADER, rows_of(c)),
        *_text_part(c),
        *_plots(page),
        *_lists(c),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(page.model)}: evaluation</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _text_part(c: Comparison) -> list[str]:
    t = c.text
    if t is None:
        return []
    return [
        f"<p>Text, {t.tokens} tokens: perplexity {t.perplexity_before:.4f} → "
        f"{t.perplexity_after:.4f}; KL(base ‖ patched) {t.kl:.2e} nats a token; greedy choice "
        f"unchanged at {t.same_choice:.2%} of positions.</p>"
    ]


def _plots(page: Page) -> list[str]:
    c, parts = page.comparison, []
    if c.sections:
        parts.append("<h2>Effect by layer and projection</h2>")
        for what, note in (
            ("earned", "log-probability lost when this matrix's flips are left out"),
            ("alone", "change of log-probability with this matrix's flips alone"),
        ):
            values = {(s.layer, s.projection): float(getattr(s, what)) for s in c.sections}
            parts.append(heat_map(values, page.layers, note))
    if page.patches:
        parts.append("<h2>Every probe's shift</h2>")
        for name, side in (("targets", c.target), ("controls", c.control)):
            if side is not None:
                note = f"{name}: change of the right answer's log-probability"
                parts.append(shift_plot(_points(side), note))
    if page.cells:
        values = {(cell.layer, cell.projection): cell.shift for cell in page.cells}
        note = "mean change of the answers' log-probability under random flips"
        parts += ["<h2>Layer map</h2>", heat_map(values, page.layers, note)]
    if page.curve:
        parts.append("<h2>Random flips</h2>")
        parts.append(curve([(p.share, p.right) for p in page.curve], "right, over share flipped"))
        if page.curve[0].text:
            points = [(p.share, perplexity_of(p)) for p in page.curve]
            parts.append(curve(points, "perplexity, over share flipped"))
    return parts


def outcome(before: bool, after: bool) -> str:
    """``fixed``, ``broken``, ``right`` or ``wrong``."""
    if before == after:
        return "right" if after else "wrong"
    return "fixed" if after else "broken"


def _points(side: Side) -> list[tuple[float, str, str]]:
    return [
        (
            float(shift),
            outcome(bool(side.before.right[i]), bool(side.after.right[i])),
            f"{side.questions[i].probe.item.prompt} → {side.questions[i].probe.item.answer}",
        )
        for i, shift in enumerate(side.shift)
    ]


def _lists(c: Comparison) -> list[str]:
    parts = []
    for name, side in (("target", c.target), ("control", c.control)):
        if side is None:
            continue
        for kind in ("broken", "fixed"):
            chosen = [p for p in _points(side) if p[1] == kind]
            if chosen:
                parts.append(
                    f'<h3 style="color: {COLOURS[kind]}">{name}: {kind}, {len(chosen)}</h3><ul>'
                )
                parts += [
                    f"<li><code>{escape(label)}</code> {x:+.2f}</li>"
                    for x, _, label in chosen[:SHOWN]
                ]
                parts.append("</ul>" + ("<p>…</p>" if len(chosen) > SHOWN else ""))
    return parts
