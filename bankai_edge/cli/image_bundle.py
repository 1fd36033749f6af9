"""`bankai-edge image bundle` and `inspect`: one file for a device that already runs an OS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bankai_edge.cli.arguments import FILE, FOLDER, Outfit, outfit_options, policy_option
from bankai_edge.cli.output import json_option, print_json, say
from bankai_edge.errors import SignatureError, UsageError

if TYPE_CHECKING:
    from bankai_edge.boards import Board


@click.command()
@outfit_options(FILE, FOLDER)
@click.option("--output", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="The bundle to write.")  # fmt: skip
@click.option("--trust", multiple=True, type=FILE, metavar="KEY.pub",
              help="Whose patches and bundles the device takes; may repeat.")  # fmt: skip
@policy_option(
    None, "Must patches be signed by a trusted key? Default: require with --trust, else open."
)
@click.option(
    "--sign",
    metavar="NAME|FILE",
    help="Sign the bundle: a key of `bankai-edge keys list`, or a private key in PEM.",
)
@click.option("--serial", multiple=True, metavar="PORT|none",
              help="Where the agent answers; default: the board's first UART.")  # fmt: skip
@click.option("--udp", multiple=True, metavar="[HOST:]PORT", help="Answer on UDP, too.")
@click.option("--python", "pythons", multiple=True, metavar="3.N",
              help="The device's CPython; may repeat. Default: 3.11 and 3.13.")  # fmt: skip
@click.option(
    "--wheel",
    "own_wheels",
    multiple=True,
    type=FILE,
    help="bankai-edge's own wheel (tools/check/build_aarch64.py); default: from the index.",
)
@click.option("--wheels", "folder", type=FOLDER, metavar="DIR",
              help="Take the other wheels from there, not from the index.")  # fmt: skip
@click.option("--refresh", is_flag=True, help="Fetch anew what the cache has.")
@json_option
def bundle(
    outfit: Outfit,
    output: Path,
    trust: tuple[Path, ...],
    policy: str | None,
    sign: str | None,
    serial: tuple[str, ...],
    udp: tuple[str, ...],
    pythons: tuple[str, ...],
    own_wheels: tuple[Path, ...],
    folder: Path | None,
    refresh: bool,
    as_json: bool,
) -> None:
    """Make one file that installs bankai-edge, a model and patches on a device with no network.

    On the device: python3 FILE, or bankai-edge image install FILE. It carries the packages for each
    Python, the model, the patches, keys and policy, a systemd unit, and the SHA-256 of all of it.
    """
    from bankai_edge.boards import find
    from bankai_edge.bundle import make as making
    from bankai_edge.bundle import wheels
    from bankai_edge.bundle.fitting import model_that_fits
    from bankai_edge.patch import keys

    found = find(outfit.board, kind="linux")
    machine = making.machine_of(found)
    for python in pythons:
        if not re.fullmatch(r"3\.(1[1-9]|[2-9]\d)", python):
            raise UsageError(f"--python {python}", expected="3.11 or newer, as 3.13")
    private_key = keys.find_private(sign) if sign else None
    trusted = {_key_name(path): keys.read_public(path) for path in trust}
    policy = policy or ("require" if trusted else "open")
    if policy == "require" and not trusted:
        raise UsageError(
            "--policy require without --trust", expected="a key that the device takes patches from"
        )
    stored = []
    if outfit.patches:
        stored = making.read_patches(outfit.patches, policy, [*trusted.values()])
    opened = model_that_fits(found, outfit.model, outfit.ctx, outfit.ram)
    making.check_bound(stored, opened)
    needed = {}
    for python in pythons or wheels.PYTHONS:
        say(f"wheels for CPython {python} on {machine}")
        own = wheels.own_wheel(own_wheels, python, machine) if own_wheels else None
        needed[python] = wheels.gather(
            own, python, machine, signed=bool(trusted), folder=folder, refresh=refresh
        )
    contents = making.Contents(
        board=found,
        model=outfit.model,
        model_name=opened.name,
        model_id=opened.id,
        ctx=opened.ctx,
        pythons=needed,
        patches=stored,
        keys=trusted,
        policy=policy,
        serial=_ports(found, serial),
        agent=tuple(word for place in udp for word in ("--udp", place)),
    )
    manifest = making.make(output, contents, private_key)
    size = output.stat().st_size
    if as_json:
        print_json("bundle", {"file": str(output), "bytes": size, "id": manifest.id,
                              "signed": sign is not None})  # fmt: skip
    say(f"Wrote {output}: {size:,} bytes, bundle {manifest.id} for {found.name}")
    if trusted and not sign:
        say("It is not signed: a device that has it will take no unsigned one after it (--sign)")
    say(f"On the device: python3 {output.name}")


@click.command()
@click.argument("file", type=FILE)
@click.option("--key", type=FILE, metavar="KEY.pub", help="It must be signed by this key.")
@json_option
def inspect(file: Path, key: Path | None, as_json: bool) -> None:
    """Show what a bundle holds, and check every byte of it and its signature."""
    from bankai_edge.bundle import listing
    from bankai_edge.bundle.bootstrap import read_key
    from bankai_edge.bundle.container import Bundle

    with Bundle(file) as opened:
        wanted = read_key(key) if key else None
        signer = opened.signature.public_key if opened.signature else None
        if wanted is not None and signer != wanted:
            by = f"signed by {signer.hex()[:16]}" if signer else "not signed"
            raise SignatureError(f"{file} is {by}", expected=f"by {wanted.hex()[:16]}")
        opened.check()
        if as_json:
            print_json("bundle-contents", listing.described(opened))
            return
        for line in listing.lines(opened):
            click.echo(line)


def _key_name(path: Path) -> str:
    from bankai_edge._facts import name_ok
    from bankai_edge.patch.keys import PUBLIC

    name = path.name.removesuffix(PUBLIC)
    if not name_ok(name):
        raise UsageError(f"--trust {path} cannot name a key", expected="a file as alice.pub")
    return name


def _ports(board: Board, given: tuple[str, ...]) -> tuple[str, ...]:
    if given:
        return tuple(port for port in given if port != "none")
    return board.uart.devices[:1] if board.uart else ()
