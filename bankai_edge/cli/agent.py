"""`bankai-edge agent`: the device service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from bankai_edge.agent.limits import PROBE_BUDGET_S, Policy, Quota
from bankai_edge.cli.output import say
from bankai_edge.errors import UsageError
from bankai_edge.host.address import DEFAULT_BAUD, split_host_port

LOOPBACK = "127.0.0.1"


@click.command()
@click.option(
    "--model",
    "-m",
    type=click.Path(path_type=Path),
    help="The model to serve: a GGUF.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
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
@click.option("--tcp", multiple=True, metavar="[HOST:]PORT", help="Answer on TCP; HOST: loopback.")
@click.option(
    "--insecure",
    is_flag=True,
    help="Let a HOST beyond this machine in with unsigned patches.",
)
@click.option(
    "--announce/--no-announce",
    default=None,
    help="Announce UDP and TCP on the local network (mDNS). Default: when not on loopback.",
)
@click.option(
    "--unix", multiple=True, type=click.Path(path_type=Path), help="Answer on a unix socket."
)
@click.option("--stdio", is_flag=True, help="Answer on stdin and stdout; ends when stdin does.")
@click.option(
    "--attach",
    is_flag=False,
    flag_value="",
    metavar="[SOCKET]",
    help="Serve nothing: join stdin and stdout to the agent that runs here, as ssh:// does.",
)
@click.option("--ctx", type=click.IntRange(min=16), help="Context length in tokens.")
@click.option(
    "--mode",
    type=click.Choice(["overlay", "in-place"]),
    default="overlay",
    show_default=True,
    help="How patches are applied: beside the weights, or in a private copy of them.",
)
@click.option("--unbound", is_flag=True, help="Also take patches that name no model.")
@click.option(
    "--policy",
    type=click.Choice(["open", "warn", "require"]),
    default="open",
    show_default=True,
    help="Must patches be signed by a trusted key? warn takes all and says which are not.",
)
@click.option("--require-signed", is_flag=True, help="The same as --policy require.")
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The directory of trusted public keys. Default: keys, within the store.",
)
@click.option(
    "--seed",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Take patches/*.bkp and keys/*.pub of this directory into the store, once each.",
)
@click.option(
    "--max-patches",
    type=click.IntRange(min=1),
    default=Quota.patches,
    show_default=True,
    help="How many patches the store takes.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=Quota.total_bytes,
    show_default=True,
    help="How many bytes they may have in all.",
)
@click.option(
    "--probe-budget",
    "probe_budget_s",
    type=click.FloatRange(min=0),
    default=PROBE_BUDGET_S,
    show_default=True,
    metavar="SECONDS",
    help="How long a switch may take to ask the patches' own probes.",
)
def agent(
    model: Path | None,
    store: Path | None,
    serial: tuple[str, ...],
    baud: int,
    udp: tuple[str, ...],
    tcp: tuple[str, ...],
    insecure: bool,
    announce: bool | None,
    unix: tuple[Path, ...],
    stdio: bool,
    attach: str | None,
    ctx: int | None,
    mode: Literal["overlay", "in-place"],
    unbound: bool,
    policy: Policy,
    require_signed: bool,
    trust: Path | None,
    seed: Path | None,
    max_patches: int,
    max_bytes: int,
    probe_budget_s: float,
) -> None:
    """Serve a model and its patch store until Ctrl-C or SIGTERM.

    Listens where it is told, several places at once; else on this user's local socket, which the
    other verbs find by themselves. The active patches survive a restart.
    """
    if attach is not None:
        from bankai_edge.agent.attach import attach as join

        join(Path(attach) if attach else None)
        return
    if model is None or store is None:
        missing = "--store" if model else "--model"
        raise UsageError(f"agent needs {missing}", expected="agent --model MODEL --store DIR")
    from bankai_edge.agent.service import AgentConfig, run_agent

    config = AgentConfig(
        model=model,
        store=store,
        serial=serial,
        baud=baud,
        udp=tuple(_place("udp", place) for place in udp),
        tcp=tuple(_place("tcp", place) for place in tcp),
        insecure=insecure,
        announce=announce,
        unix=unix,
        stdio=stdio,
        ctx=ctx,
        mode=mode,
        allow_unbound=unbound,
        policy="require" if require_signed else policy,
        trust=trust,
        seed=seed,
        quota=Quota(max_patches, max_bytes),
        probe_budget_s=probe_budget_s,
    )
    run_agent(config, log=lambda sentence: say(f"bankai-edge agent: {sentence}"))


def _place(scheme: str, place: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT`, `PORT` or `HOST`; loopback unless a host is named."""
    if place.isdigit():
        place = f":{place}"
    host, port = split_host_port(f"--{scheme} {place}", place)
    if not host and ":" not in place:
        raise UsageError(f"--{scheme} {place!r} names no place", expected="HOST:PORT or PORT")
    return host or LOOPBACK, port
