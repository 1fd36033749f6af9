"""How every verb prints: data to stdout, prose to stderr, versioned JSON on request."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import click

JSON_VERSION = 1
F = TypeVar("F", bound=Callable[..., Any])
Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[str]], str]
"""Header, rows, and < or > a column."""


def json_option(command: F) -> F:
    """Add `--json` (parameter `as_json`) to a verb."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")(
        command
    )


def print_json(kind: str, fields: Mapping[str, Any]) -> None:
    """Print one object: its version, its kind, then `fields`."""
    click.echo(json.dumps({"version": JSON_VERSION, "kind": kind, **fields}, ensure_ascii=False))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """One Markdown table, padded so that it reads as plain text too; `align` is < or > a column."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (f"{c:{a}{w}}" for c, a, w in zip(cells, align, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rules = ["-" * (w - 1) + (":" if a == ">" else "-") for a, w in zip(align, widths, strict=True)]
    return "\n".join(line(cells) for cells in [header, rules, *rows])


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> None:
    """Print such a table; on a terminal that is too narrow for it, cells are folded."""
    text = markdown_table(header, rows, align)
    columns = shutil.get_terminal_size().columns
    if sys.stdout.isatty() and len(text.partition("\n")[0]) > columns:
        text = _folded(header, rows, align, columns)
    click.echo(text)


def _folded(header: Sequence[str], rows: Sequence[Sequence[str]], align: str, columns: int) -> str:
    from rich.box import MARKDOWN
    from rich.console import Console
    from rich.table import Table as Grid

    table = Grid(box=MARKDOWN, header_style="")
    for name, side in zip(header, align, strict=True):
        table.add_column(name, justify="right" if side == ">" else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(width=columns, markup=False, highlight=False)
    with console.capture() as said:
        console.print(table)
    return said.get().strip()


def print_fields(fields: Iterable[tuple[str, object]], width: int = 10) -> None:
    """Print names and values, one pair a line; lists as words."""
    for name, value in fields:
        words = " ".join(value) or "-" if isinstance(value, list | tuple) else value
        click.echo(f"{name:<{width}} {words}")


def switched(active: Sequence[str], took_ns: int) -> str:
    """Say what is active now, and how long the switch took."""
    how = f"switched in {took_ns / 1000:.1f} µs" if took_ns else "was so already"
    return f"active: {' '.join(active) or 'nothing'} ({how})"


def say(message: str) -> None:
    """Print progress or prose, to stderr."""
    click.echo(message, err=True)
