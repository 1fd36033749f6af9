"""`bankai-edge agent`: the device service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click

from bankai_edge.agent.limits import PROBE_BUDGET_S, Policy, Quota
from bankai_edge.cli.arguments import ANY_PATH, baud_option, ctx_option, policy_option, served_model
from bankai_edge.cli.output import F, say
from bankai_edge.errors import UsageError
from bankai_edge.host.address import split_host_port

LOOPBACK = "127.0.0.1"


def _limit(name: str, default: int, text: str) -> Callable[[F], F]:
    return click.option(
        name, type=click.IntRange(min=1), default=default, show_default=True, help=text
    )


@click.command()
@served_model(ANY_PATH, required=False)
@click.option("--store", type=ANY_PATH,
              help="The directory that keeps the patches and which are active.")  # fmt: skip
@click.option("--serial", multiple=True, metavar="PORT", help="Answer on a serial port or pty.")
@baud_option
@click.option("--udp", multiple=True, metavar="[HOST:]PORT", help="Answer on UDP; HOST: loopback.")
@click.option("--tcp", multiple=True, metavar="[HOST:]PORT", help="Answer on TCP; HOST: loopback.")
@click.option("--insecure", is_flag=True,
              help="Let a HOST beyond this machine in with unsigned patches.")  # fmt: skip
@click.option(
    "--announce/--no-announce",
    default=None,
    help="Announce UDP and TCP on the local network (mDNS). Default: when not on loopback.",
)
@click.option("--unix", multiple=True, type=ANY_PATH, help="Answer on a unix socket.")
@click.option("--stdio", is_flag=True, help="Answer on stdin and stdout; ends when stdin does.")
@click.option(
    "--attach", is_flag=False, flag_value="", metavar="[SOCKET]",
    help="Serve nothing: join stdin and stdout to the agent that runs here, as ssh:// does.",
)  # fmt: skip
@ctx_option
@click.option(
    "--mode", type=click.Choice(["overlay", "in-place"]), default="overlay", show_default=True,
    help="How patches are applied: beside the weights, or in a private copy of them.",
)  # fmt: skip
@click.option("--unbound", is_flag=True, help="Also take patches that name no model.")
@policy_option(
    "open", "Must patches be signed by a trusted key? warn takes all and says which are not."
)
@click.option("--require-signed", is_flag=True, help="The same as --policy require.")
@click.option(
    "--trust", type=ANY_PATH, metavar="DIR",
    help="The directory of trusted public keys. Default: keys, within the store.",
)  # fmt: skip
@click.option(
    "--seed", type=ANY_PATH, metavar="DIR",
    help="Take patches/*.bkp and keys/*.pub of this directory into the store, once each.",
)  # fmt: skip
@_limit("--max-patches", Quota.patches, "How many patches the store takes.")
@_limit("--max-bytes", Quota.total_bytes, "How many bytes they may have in all.")
@click.option(
    "--probe-budget", "probe_budget_s", type=click.FloatRange(min=0), default=PROBE_BUDGET_S,
    show_default=True, metavar="SECONDS",
    help="How long a switch may take to ask the patches' own probes.",
)  # fmt: skip
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
