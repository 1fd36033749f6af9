"""`bankai-edge boards …`: which boards are known, what fits there, how fast it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bankai_edge.cli.output import Table, json_option, print_json, print_table, say
from bankai_edge.errors import UsageError

if TYPE_CHECKING:
    from bankai_edge.boards import Board
    from bankai_edge.boards.expect import Expected
    from bankai_edge.shapes import ModelShape

LEAST_CONTEXT = 256  # tokens: with less room a large model is of no use (the nano's needs 48)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def boards(ctx: click.Context, as_json: bool) -> None:
    """List the boards that are known; show one; compute expected speeds."""
    if ctx.invoked_subcommand is not None:
        return
    from bankai_edge.boards import boards as known
    from bankai_edge.boards.conditions import recognise

    whole, here = [board for board in known() if board.cpu is not None], recognise()
    if as_json:
        fields = {"boards": [_board_json(board) for board in whole], "here": here and here.id}
        print_json("boards", fields)
        return
    print_table(*overview(whole))
    click.echo(f"\nThis machine: {here.id if here else 'none of them'}")
    click.echo("One of them: bankai-edge boards show NAME; speeds: bankai-edge boards expect")


@boards.command()
@click.argument("name", required=False)
@json_option
def show(name: str | None, as_json: bool) -> None:
    """Show all that is known of the board NAME: what fits, UARTs, sources, what is proven.

    Without NAME it is this machine's, with what slows it just now.
    """
    from bankai_edge.boards import find
    from bankai_edge.boards.conditions import conditions, find_vcgencmd

    now = None if name else conditions(vcgencmd=find_vcgencmd())
    if now and not now.board:
        raise UsageError("this machine is no known board", expected="a NAME (bankai-edge boards)")
    board = find(name or (now.board if now else "") or "")
    if as_json:
        fields = {"board": _board_json(board)}
        print_json("board", {**fields, "now": asdict(now)} if now else fields)
        return
    for line in _sheet(board):
        click.echo(line)
    if now:
        clock = f"{now.mhz:.0f} of {now.mhz_max:.0f} MHz" if now.mhz and now.mhz_max else "unknown"
        heat = "unknown" if now.celsius is None else f"{now.celsius:.0f} °C"
        click.echo(f"now        clock {clock}, governor {now.governor or 'unknown'}, {heat}")
        for warning in now.warnings:
            say(f"warning: {warning}")


@boards.command()
@click.argument("names", nargs=-1)
@click.option(
    "-m", "--model", "models", multiple=True, metavar="NAME|FILE",
    help="A published size (bonsai-1.7b) or a GGUF; may repeat. Default: nano and all sizes.",
)  # fmt: skip
@click.option("-t", "--threads", type=click.Choice(["1", "2", "4"]),
              help="Cores to compute with. Default: as many as are the fastest.")  # fmt: skip
@json_option
def expect(names: tuple[str, ...], models: tuple[str, ...], threads: str | None,
           as_json: bool) -> None:  # fmt: skip
    """Compute tokens per second for the boards NAMES (default: all); nothing is measured.

    The smaller of two bounds: counted instructions at an assumed number per cycle, and the bytes
    that a token reads at a published bandwidth. The assumptions are printed.
    """
    from bankai_edge.boards import boards as known
    from bankai_edge.boards import find
    from bankai_edge.boards.expect import expect as compute

    chosen = [find(name) for name in names] or [board for board in known() if board.cpu]
    shapes = [_shape(model) for model in models] or _published()
    found = [
        result
        for board in chosen
        for shape in shapes
        if (result := compute(board, shape, int(threads) if threads else None))
    ]
    if as_json:
        print_json("boards-expect", {"expected": [result.as_json() for result in found]})
        return
    if not found:
        raise UsageError(
            "nothing can be computed for these boards and models: no counted kernel, or no room",
            next_step="See for which it can: bankai-edge boards expect",
        )
    print_table(*expected_table(found))
    click.echo("\nComputed, not measured; it assumes:")
    for line in assumptions(found):
        click.echo(f"  {line}")


def overview(known: Sequence[Board]) -> Table:
    """One line for each board: what it is, what fits, what is proven."""
    header = ["board", "name", "CPU", "RAM", "kernel", "largest model, context", "status"]
    return header, [_row(board) for board in known], "<" * len(header)


def expected_table(found: Sequence[Expected]) -> Table:
    """Computed tokens per second, with both bounds."""
    header = ["board", "model", "threads", "computed t/s", "bound by", "compute", "bandwidth",
              "M instructions a token"]  # fmt: skip
    return header, [_expected_row(result) for result in found], "<<>><>>>"


def assumptions(found: Sequence[Expected]) -> list[str]:
    """What the computed figures assume, a line for each board."""
    lines = []
    for board_id in dict.fromkeys(result.board for result in found):
        said = dict.fromkeys(a for r in found if r.board == board_id for a in r.assumptions)
        lines.append(f"{board_id}: " + "; ".join(said))
    return lines


def _published() -> list[ModelShape]:
    from bankai_edge.shapes import SHAPES

    return list(SHAPES.values())


def _shape(model: str) -> ModelShape:
    """A published size by name, or the shape of a GGUF."""
    from bankai_edge.shapes import SHAPES

    if model in SHAPES:
        return SHAPES[model]
    if not Path(model).exists():
        raise UsageError(
            f"no model named {model!r}", expected=f"a GGUF file or one of {', '.join(SHAPES)}"
        )
    from bankai_edge.model.weights import open_core, shape_of

    _, core = open_core(Path(model))
    return shape_of(core, Path(model).stem)


def _expected_row(e: Expected) -> list[str]:
    bandwidth = "" if e.bandwidth is None else f"{e.bandwidth:.1f}"
    return [
        e.board, e.model, str(e.threads), f"{e.tokens_per_s:.1f}", e.bound, f"{e.compute:.1f}",
        bandwidth, f"{e.instructions / 1e6:.1f}",
    ]  # fmt: skip


def largest_model(board: Board) -> str:
    """The largest model that fits with a useful context, and that context in tokens."""
    from bankai_edge.boards import largest_context

    found = "none"
    for shape in _published():
        ctx = largest_context(board, shape)
        if ctx >= (48 if shape.name == "nano" else LEAST_CONTEXT):
            found = f"{shape.name}, {ctx:,}"
    return found


def _row(board: Board) -> list[str]:
    from bankai_edge.boards.fit import size

    assert board.cpu is not None and board.memory is not None
    ram = [size(n) for n in board.memory.ram]
    rams = ram[0] if len(ram) == 1 else f"{ram[0]} … {ram[-1]}"
    return [
        board.id, board.name, f"{board.cpu.cores} x {board.cpu.name}", rams, board.cpu.kernel,
        largest_model(board), proven(board),
    ]  # fmt: skip


def proven(board: Board) -> str:
    """The strongest kind of proof behind a board's file, and whether something has none."""
    status = board.status
    if status is None:
        return "untested"
    words = "measured" if status.measured else "emulated" if status.emulated else "computed"
    return f"{words}; board untested" if status.untested else words


def fit_table(board: Board) -> list[dict[str, Any]]:
    """Each model on each size of RAM: the largest context in tokens, 0 when it does not fit."""
    from bankai_edge.boards import fits, largest_context

    assert board.memory is not None
    rows = []
    for shape in _published():
        for ram in board.memory.ram:
            ctx = largest_context(board, shape, ram=ram)
            fit = fits(board, shape, ctx or 1, ram=ram)
            rows.append({
                "model": shape.name, "ram": ram, "largest_context": ctx, "needed": fit.needed,
                "available": fit.available, "flash_needed": fit.flash_needed,
                "flash_available": fit.flash_available,
            })  # fmt: skip
    return rows


def _board_json(board: Board) -> dict[str, Any]:
    fields = asdict(board)
    fields["usb"] = [f"{vendor:04x}:{product:04x}" for vendor, product in board.usb]
    fields["fits"] = fit_table(board) if board.memory else []
    return fields


def _sheet(board: Board) -> list[str]:
    """All of a board in lines for people."""
    lines = [f"{board.name} ({board.id}), {board.kind}"]
    if board.note:
        lines.append(f"  {board.note}")
    if board.usb:
        lines.append("usb        " + ", ".join(f"{v:04x}:{p:04x}" for v, p in board.usb))
    if cpu := board.cpu:
        clock = f" at {cpu.mhz} MHz" if cpu.mhz else ""
        features = f" ({', '.join(cpu.features)})" if cpu.features else ""
        lines.append(f"cpu        {cpu.cores} x {cpu.name}, {cpu.architecture}{clock}{features}")
        lines.append(f"kernel     {cpu.kernel}, expected")
    lines += _memory_lines(board)
    if board.bandwidth:
        speeds = ", ".join(
            f"{speed / 1e9:g} GB/s with {n} thread{'s' * (n > 1)}"
            for n, speed in board.bandwidth.by_threads
        )
        lines.append(f"bandwidth  {speeds}: {board.bandwidth.what}")
        lines.append(f"           {board.bandwidth.source}")
    lines += _uart_lines(board)
    if q := board.qemu:
        cpu_words = f" -cpu {q.cpu}" if q.cpu else ""
        lines.append(f"emulator   {q.program} -M {q.machine}{cpu_words}")
    if board.image:
        lines.append(f"image      bankai-edge image build --board {board.id}; {board.image.kernel}")
    if board.status:
        for kind in ("measured", "emulated", "computed", "untested"):
            for what in getattr(board.status, kind):
                lines.append(f"{kind:<10} {what}")
    return lines


def _memory_lines(board: Board) -> list[str]:
    from bankai_edge.boards.fit import size

    if board.memory is None:
        return []
    memory = board.memory
    lines = [f"ram        {', '.join(size(n) for n in memory.ram)}; of it "
             f"{size(memory.reserved)} for {memory.reserved_for}"]  # fmt: skip
    if memory.flash:
        lines.append(
            f"flash      {size(memory.flash)}, of it {size(memory.program)} for the program"
        )
    by_model: dict[str, list[str]] = {}
    for row in fit_table(board):
        words = f"{row['largest_context']:,}" if row["largest_context"] else "no"
        by_model.setdefault(row["model"], []).append(f"{size(row['ram'])}: {words}")
    lines.append("fits       computed; the largest context in tokens for each size of RAM")
    lines += [f"  {model:<12} {'   '.join(cells)}" for model, cells in by_model.items()]
    return lines


def _uart_lines(board: Board) -> list[str]:
    if board.uart is None:
        return []
    uart = board.uart
    lines = [f"uart       {', '.join(uart.devices)}" + (f"; {uart.pins}" if uart.pins else "")]
    if uart.config_txt:
        lines.append(f"  config.txt:  add {', '.join(uart.config_txt)}")
    if uart.cmdline_remove:
        lines.append(f"  cmdline.txt: remove {', '.join(uart.cmdline_remove)}")
    if uart.disable_services:
        lines.append(f"  systemctl disable --now {' '.join(uart.disable_services)}")
    if uart.note:
        lines.append(f"  {uart.note}")
    return lines
