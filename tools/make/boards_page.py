"""Write the computed and measured tables of docs/boards.md.

    python tools/make/boards_page.py           print what would change
    python tools/make/boards_page.py --write   renew docs/boards.md and docs/boards.svg
    python tools/make/boards_page.py --check   exit 1 if either is out of date

The measured part comes from docs/boards/*.json, which `bankai-edge bench --board-report` writes.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from pathlib import Path

from bankai_edge.bench import side_by_side
from bankai_edge.bench.board_report import read
from bankai_edge.boards import Board, boards, largest_context
from bankai_edge.boards.expect import expect
from bankai_edge.boards.fit import size
from bankai_edge.cli.boards import assumptions, expected_table, overview
from bankai_edge.cli.output import markdown_table
from bankai_edge.shapes import SHAPES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, PLOT, REPORTS = DOCS / "boards.md", DOCS / "boards.svg", DOCS / "boards"


def fits_table(known: list[Board]) -> str:
    """The largest context of every model on every board and size of RAM; - where none fits."""
    rows = []
    for board in known:
        assert board.memory is not None
        for ram in board.memory.ram:
            found = [largest_context(board, shape, ram=ram) for shape in SHAPES.values()]
            rows.append([board.id, size(ram), *(f"{ctx:,}" if ctx else "-" for ctx in found)])
    header = ["board", "RAM", *SHAPES]
    return markdown_table(header, rows, "<" + ">" * (len(header) - 1))


def parts() -> tuple[dict[str, str], str]:
    """The page's generated parts by name, and the plot."""
    known = [board for board in boards() if board.cpu is not None]
    expected = [
        result for board in known for shape in SHAPES.values() if (result := expect(board, shape))
    ]
    reports = [read(path) for path in sorted(REPORTS.glob("*.json"))]
    table = markdown_table(
        side_by_side.HEADER, side_by_side.cells(side_by_side.rows(reports)), side_by_side.ALIGN
    )
    return {
        "boards": markdown_table(*overview(known)),
        "fits": fits_table(known),
        "expected": markdown_table(*expected_table(expected)),
        "assumptions": "\n".join(f"* {line}" for line in assumptions(expected)),
        "measured": table,
        "reports": "\n".join(f"* {remark}" for remark in side_by_side.remarks(reports)),
    }, side_by_side.picture(reports)


def renewed(page: str, found: dict[str, str]) -> str:
    """The page with its marked parts replaced; raises ValueError when a mark is missing."""
    for name, text in found.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not mark.search(page):
            raise ValueError(f"docs/boards.md has no <!-- {name} --> … <!-- /{name} -->")
        page = mark.sub(lambda m, text=text: f"{m[1]}\n{text}\n\n{m[2]}", page)  # type: ignore[misc]
    return page


def main() -> int:
    """0: up to date, or written; 1: out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="renew page and plot")
    parser.add_argument("--check", action="store_true", help="exit 1 if they are out of date")
    args = parser.parse_args()
    found, plot = parts()
    page = renewed(PAGE.read_text(encoding="utf-8"), found)
    stale = []
    for path, text in ((PAGE, page), (PLOT, plot)):
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        stale.append(path.name)
        if args.write:
            path.write_text(text, encoding="utf-8")
        else:
            sys.stdout.writelines(
                difflib.unified_diff(
                    old.splitlines(True), text.splitlines(True), str(path.name), "renewed"
                )
            )
    if stale and not args.write:
        print(f"out of date: {', '.join(stale)}; run with --write", file=sys.stderr)
    return 1 if stale and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
