"""`bankai-edge eval`: base against patched, with intervals, and what random flips do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bankai_edge.cli.arguments import model_option
from bankai_edge.cli.output import json_option, print_json, print_table, say
from bankai_edge.durable import write_atomically
from bankai_edge.errors import UsageError

if TYPE_CHECKING:
    from bankai_edge.judge.html_report import Page
    from bankai_edge.judge.impact import Cell, Point
    from bankai_edge.model import Model

_IN = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


def _shares(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Ascending shares from a comma-separated list such as ``0.1%,1%,0.05``."""
    if value is None:
        return ()
    found = []
    for part in value.split(","):
        try:
            share = float(part.removesuffix("%")) / (100 if part.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise click.BadParameter(f"{part!r} is no share of the weights, as in 0.1%,1%,5%")
        found.append(share)
    return tuple(sorted(set(found)))


@click.command("eval")
@model_option("judge")
@click.option("-p", "--patch", "patches", type=_IN, multiple=True, help="A patch; may be repeated.")
@click.option("--probes", multiple=True, required=True, metavar="FILE|nano:FORM",
              help="Target questions: a file, or a form or domain of the nano.")  # fmt: skip
@click.option("--control", multiple=True, metavar="FILE|nano:strong",
              help="Questions whose answers should stay.")  # fmt: skip
@click.option("--text", metavar="FILE|nano:strong", help="Text for perplexity, and KL to base.")
@click.option("--limit", type=click.IntRange(1), help="At most so many questions of each source.")
@click.option("--all-splits", is_flag=True,
              help="Ask all probes of a file, not only what a search holds out.")  # fmt: skip
@click.option("--map", "with_map", is_flag=True,
              help="Also the layer map: random flips in one matrix after the other.")  # fmt: skip
@click.option("--random-flips", callback=_shares, metavar="SHARE,…",
              help="Also the answers under random flips, as 0.1%,1%,5%.")  # fmt: skip
@click.option("--flip-kind", type=click.Choice(["bit", "row"]), default="bit", show_default=True,
              help="What --map and --random-flips flip.")  # fmt: skip
@click.option("--map-share", default=0.01, show_default=True, help="Share of a matrix for --map.")
@click.option("--seed", default=0, show_default=True, help="Of the random flips.")
@click.option("-t", "--threads", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Cores to compute with.")  # fmt: skip
@click.option("--allow-unbound", is_flag=True, help="Accept patches that name no model.")
@click.option("--html", "html_path", type=_OUT, help="Write a report with plots to this file.")
@json_option
def evaluate(
    model_path: Path | None,
    patches: tuple[Path, ...],
    probes: tuple[str, ...],
    control: tuple[str, ...],
    text: str | None,
    limit: int | None,
    all_splits: bool,
    with_map: bool,
    random_flips: tuple[float, ...],
    flip_kind: str,
    map_share: float,
    seed: int,
    threads: int,
    allow_unbound: bool,
    html_path: Path | None,
    as_json: bool,
) -> None:
    """Judge a model with and without patches on questions that no search has seen."""
    from bankai_edge.judge import html_report, impact, texts
    from bankai_edge.judge.comparison import Comparison, Judge
    from bankai_edge.model import Model, Session
    from bankai_edge.patch import decode, files
    from bankai_edge.probes import questions
    from bankai_edge.shipped import NANO

    model = Model(model_path or NANO, threads=1)
    data = [files.read_bytes(path) for path in patches]
    checker = Session(model, ctx=1)
    for one in data:
        checker.check(one, allow_unbound=allow_unbound)
    target = questions.load_all(probes, model.tokenizer, limit, every_split=all_splits)
    asked = {q.probe.prompt for q in target}
    kept = [
        q for q in questions.load_all(control, model.tokenizer, limit, every_split=all_splits)
        if q.probe.prompt not in asked
    ]  # fmt: skip
    say(f"{len(target)} targets, {len(kept)} controls")
    judge = Judge(model, target, kept, threads=threads)
    side, other = judge.sides(data)
    documents = texts.load(text, model) if text else None
    found = Comparison(
        side,
        other,
        texts.compare_text(model, documents, data) if documents else None,
        judge.by_section(data) if html_path or as_json else [],
    )
    kind: impact.Kind = "row" if flip_kind == "row" else "bit"
    cells, points = [], []
    if with_map:
        cells = impact.layer_map(judge, share=map_share, kind=kind, seed=seed, say=say)
    if random_flips:
        points = impact.robustness(
            judge, random_flips, kind=kind, seed=seed, documents=documents, say=say
        )
    lines = []
    for path, one in zip(patches, data, strict=True):
        patch = decode(one)
        lines.append(f"{patch.name} ({path.name}): {patch.n_flips} flips, {len(one)} bytes")
    page = html_report.Page(
        model.name, model.id.hex(), model.shape.layers, lines, found, cells, points
    )
    if html_path:
        write_atomically(html_path, html_report.html(page).encode())
        say(f"Wrote {html_path}")
    if as_json:
        print_json("eval", _json(page, model, [str(path) for path in patches]))
    else:
        _print(page)


def _json(page: Page, model: Model, patches: list[str]) -> dict[str, Any]:
    from bankai_edge.judge.impact import cell_json, point_json

    return {
        "model": {"name": model.name, "id": model.id.hex(), "kernel": model.core.kernel},
        "patches": patches,
        **page.comparison.as_json(),
        "map": [cell_json(cell) for cell in page.cells],
        "random_flips": [point_json(point) for point in page.curve],
    }


def _print(page: Page) -> None:
    from bankai_edge.judge.html_report import HEADER, rows_of

    for line in page.patches or ["no patch: base against itself"]:
        click.echo(line)
    _table(HEADER, rows_of(page.comparison))
    if t := page.comparison.text:
        click.echo(
            f"text, {t.tokens} tokens: perplexity {t.perplexity_before:.4f} → "
            f"{t.perplexity_after:.4f}, KL {t.kl:.2e}, same choice {t.same_choice:.2%}"
        )
    if page.cells:
        _print_map(page.cells)
    if page.curve:
        _print_curve(page.curve)


def _print_map(cells: list[Cell]) -> None:
    from bankai_edge._facts import PROJECTIONS

    click.echo("\nmean change of log-probability under random flips in one matrix")
    shifts = {(c.layer, c.projection): c.shift for c in cells}
    places = range(len(PROJECTIONS))
    rows = [
        [str(at), *(f"{shifts[at, p]:+.3f}" if (at, p) in shifts else "" for p in places)]
        for at in sorted({c.layer for c in cells})
    ]
    _table(["layer", *(name.removesuffix("_proj") for name in PROJECTIONS)], rows)


def _print_curve(points: list[Point]) -> None:
    click.echo()
    rows = [
        [
            f"{p.share:.2%}", str(p.flips), f"{p.right:.3f}", f"{p.shift:+.4f}",
            f"{p.text.perplexity_after:.4f}" if p.text else "",
            f"{p.text.kl:.2e}" if p.text else "",
        ]
        for p in points
    ]  # fmt: skip
    _table(["flipped", "flips", "right", "Δ log p", "perplexity", "KL"], rows)


def _table(header: list[str], rows: list[list[str]]) -> None:
    if not rows:
        raise UsageError("no question to ask")
    print_table(header, rows, "<" + ">" * (len(header) - 1))
