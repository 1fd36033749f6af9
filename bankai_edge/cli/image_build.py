"""`bankai-edge image build`: a bootable image for an empty SD card."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bankai_edge.cli.output import json_option, print_json, say
from bankai_edge.errors import BankaiError, IncompatibleError, SignatureError, UsageError
from bankai_edge.host.address import DEFAULT_BAUD

if TYPE_CHECKING:
    from bankai_edge.image.build import Report
    from bankai_edge.image.recipes import Recipe

WHEELS = ("dist", ".")  # where a wheel is looked for when none is named
STORE_CTX = 64  # enough to ask patches' probes of


@click.command()
@click.option("--board", required=True, metavar="BOARD", help="qemu-virt, rpi3, rpi-zero2w, rpi4.")
@click.option(
    "--model", "-m", required=True, type=click.Path(path_type=Path), help="The model: a GGUF."
)
@click.option(
    "--patches",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Patches (*.bkp) that the device has from its first start.",
)
@click.option("--use", multiple=True, metavar="NAME", help="Which of them are active at first.")
@click.option(
    "--out",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="The image to write; its manifest comes beside it, as OUT.json.",
)
@click.option(
    "--wheel",
    type=click.Path(path_type=Path),
    help="This package for aarch64 (tools/check/build_aarch64.py). Default: the one in ./dist.",
)
@click.option("--ctx", type=click.IntRange(min=16), help="Context length in tokens.")
@click.option(
    "--ram", metavar="SIZE", help="The board's memory, as 2GiB, where it is sold with several."
)
@click.option(
    "--baud", type=click.IntRange(min=50), default=DEFAULT_BAUD, show_default=True,
    help="The serial port's speed.",
)  # fmt: skip
@click.option(
    "--trust",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="KEY.pub",
    help="A key that the device trusts. It then takes only signed patches, also over UDP.",
)
@click.option(
    "--insecure", is_flag=True, help="Answer on UDP, and let anyone there change the patches."
)
@click.option(
    "--kernel",
    type=click.Path(path_type=Path),
    metavar="FILE.deb",
    help="Another arm64 kernel package than Debian 12's.",
)
@click.option(
    "--data",
    "data_mib",
    type=click.IntRange(min=64),
    default=64,
    show_default=True,
    metavar="MIB",
    help="The least that the data partition has.",
)
@click.option(
    "--cache",
    "cache_folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where packages are kept. Default: below the user's cache directory.",
)
@click.option(
    "--sources",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="apt's sources of Debian 12. Default: this machine's own.",
)
@click.option(
    "--locked",
    type=click.Path(path_type=Path),
    metavar="OUT.json",
    help="The manifest of another build: take the very same packages.",
)
@click.option("--update", is_flag=True, help="Ask for newer packages than those in the cache.")
@json_option
def build(
    board: str,
    model: Path,
    patches: Path | None,
    use: tuple[str, ...],
    out: Path,
    wheel: Path | None,
    ctx: int | None,
    ram: str | None,
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
    from bankai_edge.image.build import Order, build, check_order
    from bankai_edge.image.packages import Cache
    from bankai_edge.image.packages import cache_folder as users_cache
    from bankai_edge.image.recipes import recipe_of

    if insecure and keys:
        raise UsageError("--insecure and --trust contradict each other", expected="one of them")
    recipe = recipe_of(board)
    check_fit(recipe, model, ctx, ram)
    with tempfile.TemporaryDirectory() as name, _bar() as (step, note):
        order = Order(
            recipe=recipe,
            model=model,
            store=Path(name) / "store",
            wheel=wheel or find_wheel(),
            out=out,
            ctx=ctx,
            baud=baud,
            network="insecure" if insecure else "require-signed" if keys else "",
            keys=keys,
            kernel=kernel,
            data_bytes=data_mib << 20,
            when=_epoch(),
        )
        check_order(order)
        make_store(order.store, model, patches, use, keys)
        cache = Cache(
            cache_folder or users_cache(), sources=sources, locked=locked, update=update, say=note
        )
        report = build(order, cache, step)
    show(report, recipe, as_json)


def check_fit(recipe: Recipe, path: Path, ctx: int | None, ram: str | None) -> None:
    """Raise IncompatibleError, with both figures, for a model too large for the board."""
    from bankai_edge.boards import find, fits
    from bankai_edge.model import Model
    from bankai_edge.model.memory import shape_of
    from bankai_edge.model.session import DEFAULT_CONTEXT

    model = Model.open(path)
    shape = shape_of(model.core, path.name)
    wanted = min(DEFAULT_CONTEXT, shape.context) if ctx is None else ctx
    size = None if ram is None else _bytes(ram)
    fits(find(recipe.board), shape, wanted, ram=size, file_bytes=path.stat().st_size).check()


def _bytes(text: str) -> int:
    number = text.replace(" ", "").removesuffix("B").removesuffix("i")
    units = {"G": 30, "M": 20}
    if number[:-1].isdigit() and number[-1:] in units:
        return int(number[:-1]) << units[number[-1]]
    raise UsageError(f"--ram {text!r} is not a size", expected="as in 512MiB or 2GiB")


def _epoch() -> int | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text and not (text.isascii() and text.isdigit()):
        raise UsageError(f"SOURCE_DATE_EPOCH={text}", expected="seconds since 1970")
    return int(text) if text else None


def find_wheel() -> Path:
    """The newest aarch64 wheel of this package in ./dist or here; raises BankaiError."""
    found = [
        path for folder in WHEELS for path in Path(folder).glob("bankai_edge-*_aarch64.whl")
    ]  # fmt: skip
    if not found:
        raise BankaiError(
            "no aarch64 wheel of bankai-edge in ./dist",
            next_step="Name one with --wheel, or make it with tools/check/build_aarch64.py.",
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def make_store(
    folder: Path, model: Path, patches: Path | None, use: tuple[str, ...], keys: tuple[Path, ...]
) -> None:
    """The device's first store: what an agent here makes of the patches, with all its checks."""
    from bankai_edge._link import DeviceError, rc_name, rc_text
    from bankai_edge.agent.device import AgentDevice
    from bankai_edge.agent.gate import Gate
    from bankai_edge.agent.store import Store
    from bankai_edge.model import Model, Session
    from bankai_edge.patch import files
    from bankai_edge.patch.keys import TrustStore

    if patches is not None and not patches.is_dir():
        raise UsageError(f"--patches {patches} is not a folder")
    opened = Model.open(model)
    session = Session(opened, ctx=min(STORE_CTX, opened.shape.context))
    trusted = folder.with_name(f"{folder.name}.keys")
    trusted.mkdir()
    for key in keys:
        (trusted / key.name).write_bytes(files.read_bytes(key))
    gate = Gate("require" if keys else "open", TrustStore(trusted), say)
    device = AgentDevice(
        opened, session, Store(folder), mode="overlay", ctx=session.ctx, gate=gate, log=say,
        on_reset=lambda: None,
    )  # fmt: skip
    name = ""
    try:
        for path in sorted(patches.glob("*.bkp")) if patches else ():
            name = files.read(path).name
            data = files.read_bytes(path)
            device.upload_begin(name, len(data))
            device.upload_write(name, 0, data)
            device.upload_finish(name)
        name = " ".join(use)
        device.activate(use)
    except DeviceError as error:
        why = error.detail or rc_text(error.rc)
        wrong: type[BankaiError] = IncompatibleError
        if rc_name(error.rc) in ("SIGNATURE", "DOWNGRADE"):
            wrong = SignatureError
        raise wrong(f"{name} is not for this image: {why}") from error
    finally:
        device.close()


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
        parts = [{"name": p.name, "used": p.used, "size": p.size} for p in report.parts]
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
