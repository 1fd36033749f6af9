"""`bankai-edge push`: a patch file onto one device or many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bankai_edge.cli.options import Where, each_device, many_devices_options
from bankai_edge.cli.output import switched
from bankai_edge.errors import BankaiError, IncompatibleError, UsageError
from bankai_edge.host.client import Client

if TYPE_CHECKING:
    from bankai_edge.patch.bkp import Patch


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--use", is_flag=True, help="Make it the active patch, alone.")
@click.option("--name", help="Store it under another name than its own.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; change nothing.")
@many_devices_options
def push(
    file: Path, use: bool, name: str | None, dry_run: bool, where: Where, as_json: bool
) -> None:
    """Send the patch FILE to a device, and switch to it with --use.

    The device checks it against its model before it enters the store. A patch that is there
    already costs one round trip; an interrupted one goes on where it stopped. Several devices are
    served side by side.
    """
    patch, data = _read_patch(file, name)

    def act(client: Client, progress: Callable[[int], None]) -> tuple[dict[str, Any], str]:
        if dry_run:
            return _would_push(client, patch, data, use)
        return _push(client, patch, data, use, progress)

    each_device("push", where, as_json, act, total_bytes=len(data), title=patch.name)


def _push(
    client: Client, patch: Patch, data: bytes, use: bool, progress: Callable[[int], None]
) -> tuple[dict[str, Any], str]:
    try:
        report = client.push(patch.name, data, progress=progress)
    except IncompatibleError as error:
        raise _with_both_ids(error, patch, client) from error
    fields: dict[str, Any] = {
        "name": report.name,
        "bytes": report.size_bytes,
        "sha256": report.sha256,
        "uploaded_bytes": report.uploaded_bytes,
    }
    done = f"{report.size_bytes} bytes" if report.uploaded_bytes else "there already"
    if use:
        took_ns = client.activate([patch.name])
        fields |= {"active": [patch.name], "switch_ns": took_ns}
        done += f", {switched([patch.name], took_ns)}"
    fields |= {
        "round_trips": client.round_trips,
        "sent_bytes": client.transport.sent_bytes,
        "received_bytes": client.transport.received_bytes,
    }
    return fields, f"{patch.name}: {done}"


def _would_push(client: Client, patch: Patch, data: bytes, use: bool) -> tuple[dict[str, Any], str]:
    """What a push would do, from what the device says now; raises what it would raise."""
    there = client.has(patch.name, data)
    info = client.info()
    theirs = bytes(info.get("model_id", b""))
    if theirs and patch.model_id is not None and theirs != patch.model_id:
        raise _other_model(client, patch, theirs)
    active = [patch.name] if use else list(info.get("active", ()))
    would = "is there already" if there else f"would send {len(data)} bytes"
    if use:
        would += ", would make it active"
    fields = {
        "dry_run": True,
        "name": patch.name,
        "bytes": len(data),
        "would_upload_bytes": 0 if there else len(data),
        "would_be_active": active,
    }
    return fields, f"{patch.name}: {would}"


def _read_patch(file: Path, name: str | None) -> tuple[Patch, bytes]:
    """Read and validate a patch file here, before any device is bothered."""
    from dataclasses import replace

    from bankai_edge.patch import bkp, sign

    try:
        data = file.read_bytes()
    except OSError as error:
        raise BankaiError(
            f"{file} cannot be read: {error.strerror}", next_step="Name a .bkp file."
        ) from error
    signed = sign.is_signed(data)
    payload = sign.unwrap(data, str(file)).payload if signed else data  # the device verifies it
    patch = bkp.decode(payload, what=str(file))
    if name is not None and name != patch.name:
        if signed:
            raise UsageError(
                f"{file} is signed under the name {patch.name}; --name {name} would break that"
            )
        patch = replace(patch, name=name)
        data = bkp.encode(patch)
    return patch, data


def _with_both_ids(error: IncompatibleError, patch: Patch, client: Client) -> BankaiError:
    """Add both model ids in full when they differ: the wire has no room for them."""
    if patch.model_id is None:
        return error
    try:
        theirs = bytes(client.info()["model_id"])
    except (BankaiError, KeyError):
        return error
    return error if theirs == patch.model_id else _other_model(client, patch, theirs)


def _other_model(client: Client, patch: Patch, theirs: bytes) -> IncompatibleError:
    assert patch.model_id is not None
    return IncompatibleError(
        f"{client.transport.label} runs another model: the patch {patch.name} was made for "
        f"{patch.model_id.hex()}, the device runs {theirs.hex()}",
        next_step="Push a patch that was made for the model on the device.",
    )
