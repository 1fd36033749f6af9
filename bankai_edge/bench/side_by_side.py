"""Board reports side by side: one table, one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bankai_edge.bench.board_report import BoardReport, Figure
from bankai_edge.boards import boards
from bankai_edge.boards.expect import expect
from bankai_edge.shapes import SHAPES, ModelShape, q1_bytes
from bankai_edge.svg import COLOURS, bar, document, words

HEADER = ["board", "model", "kernel", "test", "threads", "t/s", "of first", "of computed",
          "governor", "°C", "warnings"]  # fmt: skip
ALIGN = "<<<<>>>><>>"
EMULATED = "qemu-virt"
WIDTH, ROW, TOP, LEFT, RIGHT = 960, 22, 60, 330, 860


@dataclass(frozen=True)
class Row:
    """One figure of one report, `of_first` over the first report's of the same model, test and
    threads, `of_computed` over what was expected (decode on known boards only)."""

    report: BoardReport
    figure: Figure
    of_first: float | None
    of_computed: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "report": self.report.label, "board": self.report.board, "model": self.report.model,
            "kernel": self.report.kernel, **vars(self.figure), "of_first": self.of_first,
            "of_computed": self.of_computed,
        }  # fmt: skip


def rows(reports: Sequence[BoardReport]) -> list[Row]:
    """Every figure, by model, test and threads; reports in the order given."""
    order = list(dict.fromkeys((r.model_id, r.model) for r in reports))
    found = []
    for model_id, _ in order:
        mine = [report for report in reports if report.model_id == model_id]
        keys = sorted({(f.test, f.threads) for r in mine for f in r.figures}, key=_test_order)
        for key in keys:
            first: float | None = None
            for report in mine:
                for figure in report.figures:
                    if (figure.test, figure.threads) == key:
                        ratio = figure.per_s / first if first else None
                        first = first or figure.per_s
                        found.append(Row(report, figure, ratio, _of_computed(report, figure)))
    return found


def _test_order(key: tuple[str, int]) -> tuple[str, int, int]:
    """Decode first (`tg` after `pp` in the alphabet), then by length and threads."""
    test, threads = key
    kind = test.rstrip("0123456789")
    return {"tg": "0", "pp": "1"}.get(kind, kind), int(test[len(kind) :] or 0), threads


def _of_computed(report: BoardReport, figure: Figure) -> float | None:
    board = next((board for board in boards() if board.id == report.board), None)
    shape = _shape(report)
    if board is None or shape is None or not figure.test.startswith("tg"):
        return None
    expected = expect(board, shape, figure.threads)
    return figure.per_s / expected.tokens_per_s if expected else None


def _shape(report: BoardReport) -> ModelShape | None:
    """The published shape that a report's model has, by the weights it multiplies by."""
    n_bytes = report.fields["model"].get("weight_bytes")
    for shape in SHAPES.values():
        if q1_bytes(shape.multiplied_weights) == n_bytes:
            return shape
    return None


def cells(found: Sequence[Row]) -> list[list[str]]:
    """The table's rows as texts, under HEADER."""
    return [
        [
            f"{row.report.board or '?'} ({row.report.label})", row.report.model, row.report.kernel,
            row.figure.test, str(row.figure.threads),
            f"{row.figure.per_s:.2f} ± {row.figure.spread:.2f}",
            "" if row.of_first is None else f"{row.of_first:.2f}",
            "" if row.of_computed is None else f"{row.of_computed:.0%}",
            row.report.governor or "",
            "" if row.report.celsius is None else f"{row.report.celsius:.0f}",
            str(len(row.report.warnings) or ""),
        ]
        for row in found
    ]  # fmt: skip


def remarks(reports: Sequence[BoardReport]) -> list[str]:
    """One sentence for every report: what it was measured on, when, and what slowed it."""
    said = []
    for r in reports:
        said.append(f"{r.label}: {r.board_name}, {r.when[:10]}, load {r.load:.1f} at the start")
        if r.board == EMULATED:
            said.append(f"{r.label}: emulated; its speed says nothing of any board's")
        said += [f"{r.label}: warning: {warning}" for warning in r.warnings]
    return said


def picture(reports: Sequence[BoardReport]) -> str:
    """A bar for every decode and prefill figure; each model and test has its own scale."""
    found = rows(reports)
    labels = list(dict.fromkeys(report.label for report in reports))
    parts = [words(WIDTH / 2, 28, "tokens per second, by board", size=16, anchor="middle")]
    y, last = float(TOP), None
    for row in found:
        group = (row.report.model_id, row.figure.test)
        if group != last:
            y += ROW / 2
            parts.append(words(20, y + 10, f"{row.report.model}, {row.figure.test}", size=12))
            y += ROW
            last = group
        top = max(r.figure.per_s + r.figure.spread for r in found
                  if (r.report.model_id, r.figure.test) == group)  # fmt: skip
        report, figure = row.report, row.figure
        name, colour = (
            f"{report.label}, {figure.threads} thr.",
            COLOURS[labels.index(report.label) % 6],
        )
        scale = (RIGHT - LEFT) / top
        parts += bar(name, LEFT, y + 3, ROW - 6, figure.per_s, figure.spread, scale, colour)
        y += ROW
    return document(WIDTH, round(y + ROW), parts)
