"""`bankai-edge agent`: the device service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from bankai_edge.cli.output import say
from bankai_edge.errors import UsageError
from bankai_edge.host.address import DEFAULT_BAUD, split_host_port

LOOPBACK = "127.0.0.1"


@click.command()
@click.option(
    "--model",
    "-m",
    type=click.Path(path_type=Path),
    required=True,
    help="The model to serve: a GGUF.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    required=True,
    help="The directory that keeps the patches and which are active.",
)
@click.option("--serial", multiple=True, metavar="PORT", help="Answer on a serial port or pty.")
@click.option(
    "--baud",
    type=click.IntRange(min=50),
    default=DEFAULT_BAUD,
    show_default=True,
    help="Its speed.",
)
@click.option("--udp", multiple=True, metavar="[HOST:]PORT", help="Answer on UDP; HOST: loopback.")
@click.option(
    "--unix", multiple=True, type=click.Path(path_type=Path), help="Answer on a unix socket."
)
@click.option("--stdio", is_flag=True, help="Answer on stdin and stdout; ends when stdin does.")
@click.option("--ctx", type=click.IntRange(min=16), help="Context length in tokens.")
@click.option(
    "--mode",
    type=click.Choice(["overlay", "in-place"]),
    default="overlay",
    show_default=True,
    help="How patches are applied: beside the weights, or in a private copy of them.",
)
@click.option("--unbound", is_flag=True, help="Also take patches that name no model.")
def agent(
    model: Path,
    store: Path,
    serial: tuple[str, ...],
    baud: int,
    udp: tuple[str, ...],
    unix: tuple[Path, ...],
    stdio: bool,
    ctx: int | None,
    mode: Literal["overlay", "in-place"],
    unbound: bool,
) -> None:
    """Serve a model and its patch store until Ctrl-C or SIGTERM.

    Listens where it is told, several places at once; else on this user's local socket, which the
    other verbs find by themselves. The active patches survive a restart.
    """
    from bankai_edge.agent.service import AgentConfig, run_agent

    config = AgentConfig(
        model=model,
        store=store,
        serial=serial,
        baud=baud,
        udp=tuple(_udp_place(place) for place in udp),
        unix=unix,
        stdio=stdio,
        ctx=ctx,
        mode=mode,
        allow_unbound=unbound,
    )
    run_agent(config, log=lambda sentence: say(f"bankai-edge agent: {sentence}"))


def _udp_place(place: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT`, `PORT` or `HOST`; loopback unless a host is named."""
    if place.isdigit():
        place = f":{place}"
    host, port = split_host_port(f"--udp {place}", place)
    if not host and ":" not in place:
        raise UsageError(f"--udp {place!r} names no place", expected="HOST:PORT or PORT")
    host = host or LOOPBACK
    if host not in (LOOPBACK, "::1", "localhost"):
        say(f"bankai-edge agent: anyone who reaches {host}:{port} can change the patches")
    return host, port
