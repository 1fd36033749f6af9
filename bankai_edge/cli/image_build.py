"""`bankai-edge image build`: a bootable image for an empty SD card."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bankai_edge import folders
from bankai_edge.cli.arguments import ANY_PATH, Outfit, baud_option, outfit_options
from bankai_edge.cli.output import json_option, print_json, say
from bankai_edge.errors import UsageError

if TYPE_CHECKING:
    from bankai_edge.image.build import Report
    from bankai_edge.image.recipes import Recipe


@click.command()
@outfit_options(ANY_PATH, ANY_PATH)
@click.option("--use", multiple=True, metavar="NAME", help="Which of them are active at first.")
@click.option("--out", "-o", required=True, type=ANY_PATH,
              help="The image to write; its manifest comes beside it, as OUT.json.")  # fmt: skip
@click.option(
    "--wheel", type=ANY_PATH,
    help="This package for aarch64 (tools/check/build_aarch64.py). Default: the one in ./dist.",
)  # fmt: skip
@baud_option
@click.option(
    "--trust", "keys", multiple=True, type=ANY_PATH, metavar="KEY.pub",
    help="A key that the device trusts. It then takes only signed patches, also over UDP.",
)  # fmt: skip
@click.option(
    "--insecure", is_flag=True, help="Answer on UDP, and let anyone there change the patches."
)
@click.option("--kernel", type=ANY_PATH, metavar="FILE.deb",
              help="Another arm64 kernel package than Debian 12's.")  # fmt: skip
@click.option("--data", "data_mib", type=click.IntRange(min=64), default=64, show_default=True,
              metavar="MIB", help="The least that the data partition has.")  # fmt: skip
@click.option(
    "--cache", "cache_folder", type=ANY_PATH, metavar="DIR",
    help="Where packages are kept. Default: below the user's cache directory.",
)  # fmt: skip
@click.option("--sources", type=ANY_PATH, metavar="FILE",
              help="apt's sources of Debian 12. Default: this machine's own.")  # fmt: skip
@click.option("--locked", type=ANY_PATH, metavar="OUT.json",
              help="The manifest of another build: take the very same packages.")  # fmt: skip
@click.option("--update", is_flag=True, help="Ask for newer packages than those in the cache.")
@json_option
def build(
    outfit: Outfit,
    use: tuple[str, ...],
    out: Path,
    wheel: Path | None,
    baud: int,
    keys: tuple[Path, ...],
    insecure: bool,
    kernel: Path | None,
    data_mib: int,
    cache_folder: Path | None,
    sources: Path | None,
    locked: Path | None,
    update: bool,
    as_json: bool,
) -> None:
    """Build a bootable image: write it to a card, and the board answers on its UART.

    Made of Debian 12's arm64 packages, without root and without running ARM code. The same
    packages and the same model give the same bytes. What only real hardware can prove is untested:
    the command says so for each board.
    """
    from bankai_edge.boards import find
    from bankai_edge.bundle.fitting import model_that_fits
    from bankai_edge.image.build import Order, build, check_order
    from bankai_edge.image.first_store import make_store
    from bankai_edge.image.packages import Cache, find_wheel
    from bankai_edge.image.recipes import recipe_of

    if insecure and keys:
        raise UsageError("--insecure and --trust contradict each other", expected="one of them")
    recipe = recipe_of(outfit.board)
    model_that_fits(find(recipe.board), outfit.model, outfit.ctx, outfit.ram)
    with tempfile.TemporaryDirectory() as name, _bar() as (step, note):
        order = Order(
            recipe=recipe,
            model=outfit.model,
            store=Path(name) / "store",
            wheel=wheel or find_wheel(),
            out=out,
            ctx=outfit.ctx,
            baud=baud,
            network="insecure" if insecure else "require-signed" if keys else "",
            keys=keys,
            kernel=kernel,
            data_bytes=data_mib << 20,
            when=_epoch(),
        )
        check_order(order)
        make_store(order.store, outfit.model, outfit.patches, use, keys, say)
        cache = Cache(
            cache_folder or folders.cache("image"),
            sources=sources,
            locked=locked,
            update=update,
            say=note,
        )
        report = build(order, cache, step)
    show(report, recipe, as_json)


def _epoch() -> int | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text and not (text.isascii() and text.isdigit()):
        raise UsageError(f"SOURCE_DATE_EPOCH={text}", expected="seconds since 1970")
    return int(text) if text else None


@contextmanager
def _bar() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """A progress bar on stderr over the build's steps: (begin a step, say what it waits for)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from bankai_edge.image.build import STEPS

    columns = (TextColumn("{task.description:15}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("model", total=len(STEPS))

        def step(name: str) -> None:
            progress.update(bar, completed=STEPS.index(name), description=name)

        yield step, lambda line: progress.console.print(line, highlight=False)


def show(report: Report, recipe: Recipe, as_json: bool) -> None:
    """The size report, the hash, and how far this kind of image has been proven."""
    if as_json:
        parts = [part.sizes() for part in report.parts]
        print_json("image", {
            "image": str(report.image), "sha256": report.sha256, "board": recipe.board,
            "status": recipe.status, "parts": parts, "manifest": str(report.manifest),
        })  # fmt: skip
        return
    click.echo(f"{'part':8}{'used':>12}{'size':>12}   MB")
    for part in report.parts:
        click.echo(f"{part.name:8}{part.used / 1e6:12.1f}{part.size / 1e6:12.1f}")
    click.echo(f"sha256  {report.sha256}")
    click.echo(f"{report.image}, {recipe.board}: {recipe.status}")
