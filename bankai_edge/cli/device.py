"""Verbs against a device: devices, list, use, off, rollback, rm, ask, info, verify.

These start fast: neither NumPy nor the engine is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bankai_edge.cli.options import Where, device_options, each_device, many_devices_options
from bankai_edge.cli.output import json_option, print_fields, print_json, say, switched
from bankai_edge.errors import BankaiError, NoDeviceError, UsageError
from bankai_edge.host.client import Client
from bankai_edge.host.discover import discover


@click.command()
@json_option
def devices(as_json: bool) -> None:
    """List the devices that answer, and why the others do not."""
    found = discover()
    if as_json:
        print_json(
            "devices",
            {
                "devices": [
                    {
                        "address": str(place.address),
                        "about": place.about,
                        "answers": place.info is not None,
                        "problem": place.problem,
                        "remedy": place.remedy,
                        "info": _plain(place.info or {}),
                    }
                    for place in found
                ]
            },
        )
        return
    for place in found:
        if place.info is None:
            say(f"{place.address}  ({place.about}): {place.problem}. {place.remedy}".rstrip())
        else:
            active = ", ".join(place.info.get("active", ())) or "no patch"
            what = f"  ({place.about})" if place.about else ""
            click.echo(f"{place.address}  {place.info.get('model', '?')}, {active} active{what}")
    if not any(place.info for place in found):
        raise NoDeviceError(
            "no device answers",
            next_step="Start `bankai-edge agent` here, plug one in, or name it with --device.",
        )


@click.command("list")
@device_options
def list_patches(where: Where, as_json: bool) -> None:
    """List the patches in a device's store; the active ones are marked *."""
    with where.connect() as client:
        stored = client.list()
    if as_json:
        entries = [{"name": p.name, "bytes": p.size_bytes, "active": p.active} for p in stored]
        print_json("list", {"patches": entries})
        return
    for patch in stored:
        click.echo(f"{'*' if patch.active else ' '} {patch.name:<32} {patch.size_bytes:>7} bytes")
    if not stored:
        say("The store is empty. Send a patch with: bankai-edge push FILE")


@click.command()
@click.argument("names", nargs=-1, required=True)
@many_devices_options
def use(names: tuple[str, ...], where: Where, as_json: bool) -> None:
    """Activate the stored patches NAMES, all or none, in place of those active now."""
    _switch("use", where, as_json, lambda client: client.activate(names))


@click.command()
@many_devices_options
def off(where: Where, as_json: bool) -> None:
    """Deactivate every patch: the pristine model answers again."""
    _switch("off", where, as_json, lambda client: client.deactivate())


@click.command()
@many_devices_options
def rollback(where: Where, as_json: bool) -> None:
    """Return to the set of patches that was active before the last change."""
    _switch("rollback", where, as_json, lambda client: client.rollback())


@click.command()
@click.argument("names", nargs=-1, required=True)
@device_options
def rm(names: tuple[str, ...], where: Where, as_json: bool) -> None:
    """Remove the patches NAMES from a device's store. An active one is not removed."""
    with where.connect() as client:
        for name in names:
            client.remove(name)
            say(f"removed {name}")
    if as_json:
        print_json("rm", {"removed": list(names)})


@click.command()
@click.argument("prompt")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), default=64, show_default=True,
    help="Stop the answer here.",
)  # fmt: skip
@device_options
def ask(prompt: str, max_tokens: int, where: Where, as_json: bool) -> None:
    """Ask the model on a device; the answer streams to stdout."""
    if not prompt.strip():
        raise UsageError("the prompt is empty", expected="some text, as in: ask '17+25='")
    pieces: list[str] = []
    with where.connect() as client:
        answer = client.generate(prompt, max_tokens)
        for piece in answer:
            pieces.append(piece)
            if not as_json:
                click.echo(piece, nl=False)
    if as_json:
        text = "".join(pieces)
        fields = {"text": text, "tokens": answer.tokens, "elapsed_us": answer.elapsed_us}
        print_json("ask", {"prompt": prompt, **fields})
    else:
        click.echo()


@click.command()
@device_options
def info(where: Where, as_json: bool) -> None:
    """Show what a device is and runs."""
    label, fields = _asked(where, Client.info)
    if as_json:
        print_json("info", {"device": label, "info": fields})
        return
    for warning in fields.pop("warnings", ()):
        say(f"warning: {warning}")
    print_fields({"device": label, **fields}.items())


@click.command()
@device_options
def verify(where: Where, as_json: bool) -> None:
    """Have a device check its weights and its stored patches."""
    label, report = _asked(where, Client.verify)
    if as_json:
        print_json("verify", report)
    else:
        print_fields(report.items(), 18)
    if not report["ok"]:
        raise BankaiError(
            f"{label} does not verify", next_step="Restart the agent; push the bad patches again."
        )


def _switch(verb: str, where: Where, as_json: bool, act: Callable[[Client], int]) -> None:
    def switch(client: Client, _: Callable[[int], None]) -> tuple[dict[str, Any], str]:
        took_ns = act(client)
        active = list(client.info().get("active", ()))
        return {"active": active, "switch_ns": took_ns}, switched(active, took_ns)

    each_device(verb, where, as_json, switch, one_is_flat=True)


def _asked(where: Where, ask: Callable[[Client], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """What a device is called, and what it says."""
    with where.connect() as client:
        return client.transport.label, _plain(ask(client))


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Byte strings as hex, so that JSON and people can read them."""
    return {k: v.hex() if isinstance(v, bytes) else v for k, v in fields.items()}
