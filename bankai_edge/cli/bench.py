"""`bankai-edge bench`: how fast this machine and this engine are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bankai_edge.cli.arguments import model_option
from bankai_edge.cli.options import Where, device_options
from bankai_edge.cli.output import json_option, print_fields, print_json, print_table, say
from bankai_edge.durable import write_atomically

if TYPE_CHECKING:
    from bankai_edge.bench.measurements import Measurements


def _counts(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Ascending distinct thread counts from a comma-separated list."""
    if value is None:
        return None
    parts = value.split(",")
    if not all(p.isdigit() and 1 <= int(p) <= 64 for p in parts):
        raise click.BadParameter(f"{value!r} is no list of numbers from 1 to 64, as in 1,2,4")
    return tuple(sorted({int(p) for p in parts}))


@click.group(invoke_without_command=True)
@model_option("measure")
@click.option(
    "-t", "--threads", callback=_counts, metavar="N,N,…",
    help="Thread counts to measure (default: 1, and as many as this model pays for).",
)  # fmt: skip
@click.option("--kernels", is_flag=True, help="Measure every kernel, and show what others need.")
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write a plot to this file."
)
@click.option(
    "--seconds", type=click.FloatRange(0.01, 600), default=1.0, show_default=True,
    help="Time for each row of the table.",
)  # fmt: skip
@click.option(
    "--board-report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write board, figures and conditions to this JSON file, for bench compare.",
)  # fmt: skip
@device_options
@click.pass_context
def bench(
    ctx: click.Context,
    where: Where,
    model_path: Path | None,
    threads: tuple[int, ...] | None,
    kernels: bool,
    svg: Path | None,
    seconds: float,
    board_report: Path | None,
    as_json: bool,
) -> None:
    """Measure bandwidth, products, tokens, switches and memory; compare boards.

    Figures are medians; ± is half the distance between the quartiles. With --device the device at
    the other end measures its own tokens instead, with its own clock.
    """
    if ctx.invoked_subcommand is not None:
        return
    if where.devices:
        _of_device(where, as_json)
        return
    from bankai_edge.bench.measurements import measure
    from bankai_edge.bench.picture import picture
    from bankai_edge.shipped import NANO

    path = model_path or NANO
    found = measure(
        path, threads or _default_threads(path), every_kernel=kernels, budget=seconds,
        say=lambda what: say(f"… {what}"),
    )  # fmt: skip
    if svg:
        write_atomically(svg, picture(found).encode())
    if board_report:
        from bankai_edge.bench import board_report as files

        files.write(board_report, found)
        say(f"{board_report}: written; compare with: bankai-edge bench compare FILE FILE …")
    if as_json:
        print_json("bench", found.as_json())
    else:
        _print(found, every_kernel=kernels)


@bench.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write a plot to this file."
)
@json_option
def compare(files: tuple[Path, ...], svg: Path | None, as_json: bool) -> None:
    """Show the board reports FILES side by side, as one table and one plot.

    "of first" is over the first file's figure for the same model, test and threads; "of computed"
    over what bankai-edge boards expect computes for that board.
    """
    from bankai_edge.bench import side_by_side
    from bankai_edge.bench.board_report import read

    reports = [read(path) for path in files]
    found = side_by_side.rows(reports)
    if svg:
        write_atomically(svg, side_by_side.picture(reports).encode())
    if as_json:
        print_json("bench-compare", {"rows": [row.as_json() for row in found]})
        return
    _table(side_by_side.HEADER, side_by_side.cells(found), side_by_side.ALIGN)
    for remark in side_by_side.remarks(reports):
        click.echo(remark)


def _of_device(where: Where, as_json: bool) -> None:
    with where.connect() as client:
        figures = client.bench()
        label = client.transport.label
    if as_json:
        print_json("bench-device", {"device": label, "figures": figures})
        return
    token_us = figures.get("token_us")
    speed = {"tokens/s": f"{1e6 / token_us:.4g} (decode, from an empty cache)"} if token_us else {}
    print_fields({**speed, **figures}.items(), 14)


def _default_threads(path: Path) -> tuple[int, ...]:
    from bankai_edge.model.kernels import choose_threads

    size = path.stat().st_size if path.exists() else 0
    return tuple(sorted({1, choose_threads(None, size)}))


def _print(found: Measurements, *, every_kernel: bool) -> None:
    _print_tests(found)
    _print_switches(found)
    _print_rest(found)
    _print_bandwidth(found)
    _print_products(found)
    if every_kernel:
        _table(
            ["kernel", "family", "runs here", "needs"],
            [[k.name, k.family, "yes" if k.runs else "no", k.needs] for k in found.kernels],
            "<<<<",
        )
    for warning in found.warnings:
        click.echo(f"warning: {warning}")
    for note in found.notes:
        click.echo(f"note: {note}")


def _table(header: list[str], rows: list[list[str]], align: str) -> None:
    """One table, then an empty line."""
    print_table(header, rows, align)
    click.echo()


def _count(n: int) -> str:
    return f"{n / 1e9:.2f} B" if n >= 10**9 else f"{n / 1e6:.2f} M"


def _size(n: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if n >= size:
            return f"{n / size:.2f} {unit}"
    return f"{n / 1024:.0f} KiB"


def _print_tests(found: Measurements) -> None:
    m = found.model
    rows = []
    for t in found.tokens:
        steps = t.per_token or t.seconds
        share = f"{found.read_share(t):.0%}" if t.per_token else ""
        rows.append([
            m.name, _size(m.file_bytes), _count(m.weights), m.kernel, str(t.threads), t.test,
            f"{t.per_s:.2f} ± {t.spread:.2f}", f"{steps.p50 * 1e3:.2f}",
            f"{steps.quantile(0.95) * 1e3:.2f}", share,
        ])  # fmt: skip
    header = ["model", "size", "params", "kernel", "threads", "test", "t/s", "p50 ms", "p95 ms",
              "of read bandwidth"]  # fmt: skip
    _table(header, rows, "<>><>>>>>>")


def _print_switches(found: Measurements) -> None:
    rows = [
        [
            s.what, str(s.rows), f"{s.switch.p50 * 1e6:.1f}",
            f"{s.switch.quantile(0.99) * 1e6:.1f}",
            "" if s.slowdown is None else f"{(s.slowdown - 1) * 100:+.1f} %",
        ]
        for s in found.switches
    ]  # fmt: skip
    _table(["patch switch", "rows", "p50 µs", "p99 µs", "time per token"], rows, "<>>>>")


def _print_rest(found: Measurements) -> None:
    if found.first_token:
        click.echo(
            f"first token from a cold start: {found.first_token.p50:.2f} s "
            f"(of it {found.model.load_s:.2f} s to load the model)"
        )
    if found.memory:
        click.echo(
            f"memory: weights {_size(found.memory.weights)}, beside them "
            f"{_size(found.over_weights_bytes)} at a context of {found.memory_ctx} tokens"
        )
    m = found.machine
    clock = f", {m.mhz:.0f} of {m.mhz_max:.0f} MHz" if m.mhz and m.mhz_max else ""
    heat = f", {m.celsius:.0f} °C" if m.celsius is not None else ""
    board = f" (board {m.board})" if m.board else ""
    click.echo(f"machine: {m.cpu}{board}, {m.cores} cores{clock}{heat}")
    click.echo()


def _print_bandwidth(found: Measurements) -> None:
    threads = sorted({r.threads for r in found.bandwidth})
    speeds = {(r.n_bytes, r.threads): f"{r.bytes_per_s / 1e9:.1f}" for r in found.bandwidth}
    rows = [
        [_size(n), *(speeds.get((n, t), "") for t in threads)]
        for n in sorted({r.n_bytes for r in found.bandwidth})
    ]
    header = ["read GB/s", *(f"{t} thread{'s' if t > 1 else ''}" for t in threads)]
    _table(header, rows, ">" + ">" * len(threads))


def _print_products(found: Measurements) -> None:
    rows = [
        [
            p.kernel, str(p.threads), f"{p.rows} x {p.cols}", f"{p.bytes_per_s / 1e9:.2f}",
            f"{p.read_share:.0%}", f"{p.macs_per_s / 1e9:.0f}" if p.macs_per_s else "",
        ]
        for p in found.products
    ]  # fmt: skip
    header = ["product", "threads", "shape", "GB/s", "of read bandwidth", "64 vectors: GMAC/s"]
    _table(header, rows, "<>>>>>")
