"""Verbs against a device: devices, push, list, use, off, rollback, rm, ask, info, verify.

These start fast: neither NumPy nor the engine is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bankai_edge.cli.output import F, json_option, print_json, say
from bankai_edge.errors import BankaiError, IncompatibleError, NoDeviceError, UsageError
from bankai_edge.host.client import DEFAULT_TIMEOUT_S, Client
from bankai_edge.host.discover import connect, discover

if TYPE_CHECKING:
    from bankai_edge.patch.bkp import Patch

BAR_FROM_BYTES = 4096
DEVICE_HELP = (
    "Where the device is: /dev/ttyUSB0, serial:PATH[@BAUD], udp://HOST[:PORT], unix:PATH. "
    "Default: BANKAI_DEVICE, else the one that answers."
)


def _device_options(command: F) -> F:
    command = click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0.01),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for one answer, before asking again.",
    )(command)
    return click.option("--device", "-d", metavar="ADDRESS", help=DEVICE_HELP)(command)


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
                        "info": _plain(place.info or {}),
                    }
                    for place in found
                ]
            },
        )
        return
    for place in found:
        if place.info is None:
            click.echo(f"{place.address}  -  {place.about}: {place.problem}")
        else:
            active = ", ".join(place.info.get("active", ())) or "no patch"
            click.echo(f"{place.address}  {place.info.get('model', '?')}, {active} active")
    if not any(place.info for place in found):
        raise NoDeviceError(
            "no device answers",
            next_step="Start `bankai-edge agent` here, plug one in, or name it with --device.",
        )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--use", is_flag=True, help="Make it the active patch, alone.")
@click.option("--name", help="Store it under another name than its own.")
@click.option("--device", "-d", "addresses", multiple=True, metavar="ADDRESS", help=DEVICE_HELP)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.01),
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for one answer, before asking again.",
)
@json_option
def push(
    file: Path,
    use: bool,
    name: str | None,
    addresses: tuple[str, ...],
    timeout_s: float,
    as_json: bool,
) -> None:
    """Send the patch FILE to a device, and switch to it with --use.

    The device checks it against its model before it enters the store. A patch that is there
    already costs one round trip. --device may be given several times.
    """
    patch, data = _read_patch(file, name)
    results: list[dict[str, Any]] = []
    failed: BankaiError | None = None
    for address in addresses or (None,):
        try:
            results.append(_push_one(patch, data, address, use, timeout_s))
        except BankaiError as error:
            if len(addresses) <= 1:
                raise
            failed = failed or error
            say(f"bankai-edge: {error}")
            results.append({"device": str(address), "ok": False, "error": str(error)})
    if as_json:
        print_json("push", {"results": results})
    if failed is not None:
        sys.exit(failed.exit_code)


@click.command("list")
@_device_options
@json_option
def list_patches(device: str | None, timeout_s: float, as_json: bool) -> None:
    """List the patches in a device's store; the active ones are marked *."""
    with connect(device, timeout_s=timeout_s) as client:
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
@_device_options
@json_option
def use(names: tuple[str, ...], device: str | None, timeout_s: float, as_json: bool) -> None:
    """Activate the stored patches NAMES, all or none, in place of those active now."""
    _switch("use", device, timeout_s, as_json, lambda client: client.activate(names))


@click.command()
@_device_options
@json_option
def off(device: str | None, timeout_s: float, as_json: bool) -> None:
    """Deactivate every patch: the pristine model answers again."""
    _switch("off", device, timeout_s, as_json, lambda client: client.deactivate())


@click.command()
@_device_options
@json_option
def rollback(device: str | None, timeout_s: float, as_json: bool) -> None:
    """Return to the set of patches that was active before the last change."""
    _switch("rollback", device, timeout_s, as_json, lambda client: client.rollback())


@click.command()
@click.argument("names", nargs=-1, required=True)
@_device_options
@json_option
def rm(names: tuple[str, ...], device: str | None, timeout_s: float, as_json: bool) -> None:
    """Remove the patches NAMES from a device's store. An active one is not removed."""
    with connect(device, timeout_s=timeout_s) as client:
        for name in names:
            client.remove(name)
            say(f"removed {name}")
    if as_json:
        print_json("rm", {"removed": list(names)})


@click.command()
@click.argument("prompt")
@click.option("--max-tokens", type=click.IntRange(min=1), default=64, show_default=True)
@_device_options
@json_option
def ask(prompt: str, max_tokens: int, device: str | None, timeout_s: float, as_json: bool) -> None:
    """Ask the model on a device; the answer streams to stdout."""
    if not prompt.strip():
        raise UsageError("the prompt is empty", expected="some text, as in: ask '17+25='")
    pieces: list[str] = []
    with connect(device, timeout_s=timeout_s) as client:
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
@_device_options
@json_option
def info(device: str | None, timeout_s: float, as_json: bool) -> None:
    """Show what a device is and runs."""
    with connect(device, timeout_s=timeout_s) as client:
        fields = _plain(client.info())
        label = client.transport.label
    if as_json:
        print_json("info", {"device": label, "info": fields})
        return
    click.echo(f"{'device':<10} {label}")
    for key, value in fields.items():
        click.echo(f"{key:<10} {' '.join(value) or '-' if isinstance(value, list) else value}")


@click.command()
@_device_options
@json_option
def verify(device: str | None, timeout_s: float, as_json: bool) -> None:
    """Have a device check its weights and its stored patches."""
    with connect(device, timeout_s=timeout_s) as client:
        report = _plain(client.verify())
        label = client.transport.label
    if as_json:
        print_json("verify", report)
    else:
        for key, value in report.items():
            click.echo(f"{key:<18} {' '.join(value) or '-' if isinstance(value, list) else value}")
    if not report["ok"]:
        raise BankaiError(
            f"{label} does not verify", next_step="Restart the agent; push the bad patches again."
        )


def _switch(
    verb: str,
    device: str | None,
    timeout_s: float,
    as_json: bool,
    act: Callable[[Client], int],
) -> None:
    with connect(device, timeout_s=timeout_s) as client:
        took_ns = act(client)
        active = list(client.info().get("active", ()))
    if as_json:
        print_json(verb, {"active": active, "switch_ns": took_ns})
    else:
        say(_switched(active, took_ns))


def _switched(active: list[str], took_ns: int) -> str:
    how = f"switched in {took_ns / 1000:.1f} µs" if took_ns else "was so already"
    return f"active: {' '.join(active) or 'nothing'} ({how})"


def _read_patch(file: Path, name: str | None) -> tuple[Patch, bytes]:
    """Read and validate a patch file here, before any device is bothered."""
    from dataclasses import replace

    from bankai_edge.patch import bkp

    try:
        data = file.read_bytes()
    except OSError as error:
        raise BankaiError(
            f"{file} cannot be read: {error.strerror}", next_step="Name a .bkp file."
        ) from error
    patch = bkp.decode(data, what=str(file))
    if name is not None and name != patch.name:
        patch = replace(patch, name=name)
        data = bkp.encode(patch)
    return patch, data


def _push_one(
    patch: Patch, data: bytes, address: str | None, use: bool, timeout_s: float
) -> dict[str, Any]:
    with connect(address, timeout_s=timeout_s) as client:
        try:
            report = client.push(patch.name, data, progress=_progress(patch.name, len(data)))
        except IncompatibleError as error:
            raise _with_both_ids(error, patch, client) from error
        result: dict[str, Any] = {
            "device": client.transport.label,
            "ok": True,
            "name": report.name,
            "bytes": report.size_bytes,
            "sha256": report.sha256,
            "uploaded_bytes": report.uploaded_bytes,
        }
        done = f"{report.size_bytes} bytes" if report.uploaded_bytes else "there already"
        if use:
            took_ns = client.activate([patch.name])
            result |= {"active": [patch.name], "switch_ns": took_ns}
            done += f", {_switched([patch.name], took_ns)}"
        result |= {
            "round_trips": client.round_trips,
            "sent_bytes": client.transport.sent_bytes,
            "received_bytes": client.transport.received_bytes,
        }
        say(f"{client.transport.label}: {patch.name}: {done}")
        return result


def _with_both_ids(error: IncompatibleError, patch: Patch, client: Client) -> BankaiError:
    """Add both model ids in full when they differ: the wire has no room for them."""
    if patch.model_id is None:
        return error
    try:
        theirs = bytes(client.info()["model_id"])
    except (BankaiError, KeyError):
        return error
    if theirs == patch.model_id:
        return error
    return IncompatibleError(
        f"{client.transport.label} runs another model: the patch {patch.name} was made for "
        f"{patch.model_id.hex()}, the device runs {theirs.hex()}",
        next_step="Push a patch that was made for the model on the device.",
    )


def _progress(name: str, total_bytes: int) -> Callable[[int], None]:
    """A bar on a terminal for what takes long enough to be seen; nothing otherwise."""
    if total_bytes < BAR_FROM_BYTES or not sys.stderr.isatty():
        return lambda done: None
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(name, total=total_bytes)
    bar.start()

    def update(done_bytes: int) -> None:
        bar.update(task, completed=done_bytes)
        if done_bytes >= total_bytes:
            bar.stop()

    return update


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Byte strings as hex, so that JSON and people can read them."""
    return {k: v.hex() if isinstance(v, bytes) else v for k, v in fields.items()}
