"""Types and options that several verbs share: paths, a model to serve, an agent's settings."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click

from bankai_edge.cli.output import F
from bankai_edge.errors import UsageError
from bankai_edge.host.address import DEFAULT_BAUD

ANY_PATH = click.Path(path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def served_model(path: click.Path, *, required: bool) -> Callable[[F], F]:
    """`--model`: what an agent answers with."""
    return click.option(
        "--model", "-m", type=path, required=required, help="The model to serve: a GGUF."
    )


def model_option(verb: str) -> Callable[[F], F]:
    """`--model` (model_path) of a verb that can do with the nano."""
    return click.option(
        "-m", "--model", "model_path", type=ANY_PATH,
        help=f"The GGUF to {verb} (default: the nano model that ships with the package).",
    )  # fmt: skip


def policy_option(default: str | None, text: str) -> Callable[[F], F]:
    """`--policy`: which patches an agent takes."""
    return click.option(
        "--policy", type=click.Choice(["open", "warn", "require"]), default=default,
        show_default=default is not None, help=text,
    )  # fmt: skip


def _ram(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    found = re.fullmatch(r"(\d+) ?([MG])i?B?", text or "")
    if text is not None and not found:
        raise UsageError(f"--ram {text!r}", expected="a size as 512MiB or 4GiB")
    return int(found[1]) << {"M": 20, "G": 30}[found[2]] if found else None


ctx_option = click.option(
    "--ctx", type=click.IntRange(min=16), help="Context in tokens (default: at most 2048)."
)
baud_option = click.option(
    "--baud", type=click.IntRange(min=50), default=DEFAULT_BAUD, show_default=True,
    help="The serial port's speed.",
)  # fmt: skip


@dataclass(frozen=True)
class Outfit:
    """What another device is fitted out with: for which board, what it serves and with how much."""

    board: str
    model: Path
    patches: Path | None
    ctx: int | None
    ram: int | None


def outfit_options(file: click.Path, folder: click.Path) -> Callable[[F], F]:
    """Add --board, --model, --patches, --ctx and --ram to a verb, as its parameter `outfit`."""

    def add(command: F) -> F:
        @click.option("--board", required=True, metavar="BOARD",
                      help="Whom it is for: bankai-edge boards.")  # fmt: skip
        @served_model(file, required=True)
        @click.option("--patches", type=folder, metavar="DIR",
                      help="Patches (*.bkp) that the device has from its first start.")  # fmt: skip
        @ctx_option
        @click.option("--ram", metavar="SIZE", callback=_ram,
                      help="The board's RAM, as 2GiB; default: the largest.")  # fmt: skip
        @functools.wraps(command)
        def with_outfit(
            *args: Any,
            board: str,
            model: Path,
            patches: Path | None,
            ctx: int | None,
            ram: int | None,
            **options: Any,
        ) -> Any:
            return command(*args, outfit=Outfit(board, model, patches, ctx, ram), **options)

        return cast(F, with_outfit)

    return add
