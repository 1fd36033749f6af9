"""`bankai-edge patch diff|compose|stack-report`: patches beside and on top of each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bankai_edge._facts import PROJECTIONS
from bankai_edge.cli.output import json_option, print_json, print_table, say
from bankai_edge.durable import write_atomically
from bankai_edge.errors import UsageError
from bankai_edge.patch import Patch, algebra, encode, files
from bankai_edge.patch.bind import bind

if TYPE_CHECKING:
    from bankai_edge.judge.stacking import StackReport

_IN = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("first", type=_IN)
@click.argument("second", type=_IN)
@json_option
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Compare the flips of two patches: shared ones cancel when both are active."""
    a, b = files.read(first), files.read(second)
    found = algebra.difference(a, b)
    parts = {"only_first": found.only_first, "only_second": found.only_second, "both": found.both}
    if as_json:
        print_json("diff", {
            "first": a.name, "second": b.name, "same": found.same,
            "same_model": a.model_id == b.model_id,
            "shared_rows": [[r[0], PROJECTIONS[r[1]], r[2]] for r in found.shared_rows],
            **{k: {"flips": p.n_flips, "sections": algebra.section_counts(p)}
               for k, p in parts.items()},
        })  # fmt: skip
        return
    if a.model_id != b.model_id:
        say("The patches are not for the same model.")
    for label, part in zip((f"only {a.name}", f"only {b.name}", "both"), parts.values(),
                           strict=True):  # fmt: skip
        where = ", ".join(f"{name} {n}" for name, n in algebra.section_counts(part).items())
        click.echo(f"{label:<20}{part.n_flips:>6} flips  {where}".rstrip())
    click.echo(f"{'rows that both touch':<20}{len(found.shared_rows):>6}")


@click.command()
@click.argument("patches", type=_IN, nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=_OUT, help="The .bkp to write.")
@click.option("-m", "--model", type=_IN, help="The model; needed to bind the result to it.")
@click.option("--name", help="The result's name (default: the output file's).")
@json_option
def compose(
    patches: tuple[Path, ...], output: Path, model: Path | None, name: str | None, as_json: bool
) -> None:
    """Write one patch that does what all of them do together, in whatever order.

    Without a model the result is unbound: the CRC of its rows needs the weights.
    """
    parts = [files.read(path) for path in patches]
    whole = algebra.compose(parts, name or output.stem)
    if model:
        from bankai_edge.model import Model

        loaded = Model(model)
        for part in parts:
            bind(part, loaded)  # checks those that are bound
        whole = bind(whole, loaded)
    data = encode(whole)
    write_atomically(output, data)
    given = sum(part.n_flips for part in parts)
    if as_json:
        print_json("compose", {
            "file": str(output), "name": whole.name, "bytes": len(data), "bound": whole.bound,
            "flips": whole.n_flips, "cancelled": given - whole.n_flips,
        })  # fmt: skip
    bound = "bound" if whole.bound else "unbound: bind it with -m MODEL"
    say(f"Wrote {output}: {len(data)} bytes, {whole.n_flips} of {given} flips, {bound}")


@click.command("stack-report")
@click.argument("patches", type=_IN, nargs=-1, required=True)
@click.option("-m", "--model", "model_path", type=_IN, help="The model (default: the nano).")
@click.option("--probes", multiple=True, metavar="FILE|nano:FORM",
              help="Questions to judge by; may be repeated.")  # fmt: skip
@click.option("--control", multiple=True, metavar="FILE|nano:strong",
              help="Questions whose answers should stay; may be repeated.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="At most so many questions of each source.")
@click.option("-t", "--threads", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Cores to compute with.")  # fmt: skip
@json_option
def stack_report(
    patches: tuple[Path, ...],
    model_path: Path | None,
    probes: tuple[str, ...],
    control: tuple[str, ...],
    limit: int | None,
    threads: int,
    as_json: bool,
) -> None:
    """Show how patches overlap and, on --probes, what each does alone and all do together."""
    if len(patches) < 2:
        raise UsageError("one patch is no stack", expected="at least two")
    parts = [files.read(path) for path in patches]
    algebra.same_model(parts)
    overlaps = [_overlap(a, b) for a, b in combinations(parts, 2)]
    report = None
    if probes:
        from bankai_edge.judge.stacking import stack_report as measure
        from bankai_edge.model import Model
        from bankai_edge.shipped import NANO

        model = Model(model_path or NANO, threads=1)
        for part in parts:
            bind(part, model)
        data = [files.read_bytes(path) for path in patches]
        report = measure(model, data, probes, control, limit=limit, threads=threads)
    if as_json:
        print_json("stack-report", {
            "patches": [{"name": p.name, "flips": p.n_flips} for p in parts],
            "overlaps": overlaps,
            "effects": report.as_json() if report else None,
        })  # fmt: skip
        return
    for o in overlaps:
        click.echo(
            f"{o['first']} and {o['second']}: {o['shared_flips']} flips cancel, "
            f"{o['shared_rows']} rows and {o['shared_sections']} matrices touched by both"
        )
    if report:
        _print(report)


def _overlap(a: Patch, b: Patch) -> dict[str, Any]:
    found = algebra.difference(a, b)
    return {
        "first": a.name,
        "second": b.name,
        "shared_flips": found.both.n_flips,
        "shared_rows": len(found.shared_rows),
        "shared_sections": len(algebra.sections(a).keys() & algebra.sections(b).keys()),
    }


def _print(report: StackReport) -> None:
    header = ["", *report.questions]
    rows: list[Sequence[str]] = [
        [active, *(f"{c.before}→{c.after}/{c.n} +{c.fixed} −{c.broken}" for c in changes)]
        for active, changes in zip(report.active, report.changes, strict=True)
    ]
    print_table(header, rows, "<" * len(header))
    click.echo(
        f"interference: the stack's shift of log-probability differs from the sum of the "
        f"single ones by {report.interference:.3f} on average (mean shift {report.shift:.3f})"
    )
