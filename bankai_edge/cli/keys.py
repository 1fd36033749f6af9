"""`bankai-edge keys`: make keys to sign patches with, and choose which of them a device trusts."""

from __future__ import annotations

from pathlib import Path

import click

from bankai_edge.cli.output import json_option, print_json, say
from bankai_edge.patch.keys import PUBLIC, TrustStore, new, own_keys, read_public
from bankai_edge.patch.sign import short_key

_DIR = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where one's own keys lie. Default: bankai-edge/keys in the user's configuration.",
)
_TRUST = click.Path(file_okay=False, path_type=Path)
_TRUST_HELP = "The directory of keys that a device trusts: its agent's --trust, or STORE/keys."


@click.group()
def keys() -> None:
    """Make keys to sign patches with, and choose which of them a device trusts."""


@keys.command("new")
@click.argument("name")
@_DIR
@json_option
def new_key(name: str, directory: Path | None, as_json: bool) -> None:
    """Make a key pair: NAME.key, which stays secret, and NAME.pub for the devices."""
    private_path, public_path = new(directory or own_keys(), name)
    key = read_public(public_path).hex()
    if as_json:
        fields = {"name": name, "key": key, "private": str(private_path)}
        print_json("key", {**fields, "public": str(public_path)})
    say(f"Wrote {private_path}, which whoever has it can sign with, and {public_path}")
    say(f"On each device: bankai-edge keys trust {public_path.name} --trust STORE/keys")


@keys.command("list")
@_DIR
@click.option("--trust", type=_TRUST, metavar="DIR", help=_TRUST_HELP)
@json_option
def list_keys(directory: Path | None, trust: Path | None, as_json: bool) -> None:
    """List one's own keys or, with --trust, those that a device trusts and those revoked."""
    if trust:
        store = TrustStore(trust)
        found = [("trusted", store.trusted()), ("revoked", store.revoked())]
    else:
        # A directory of public keys is all that a trust store is.
        found = [("own", TrustStore(directory or own_keys()).trusted())]
    rows = [(name, state, key.hex()) for state, named in found for name, key in named.items()]
    if as_json:
        fields = [{"name": name, "state": state, "key": key} for name, state, key in rows]
        print_json("keys", {"keys": fields})
        return
    for name, state, key in rows:
        click.echo(f"{name:<16} {state:<8} {key}")
    if not rows:
        say("No keys there. Make one with: bankai-edge keys new NAME")


@keys.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--trust", type=_TRUST, required=True, metavar="DIR", help=_TRUST_HELP)
@click.option("--name", help="What to call the key; otherwise as the file is called.")
@json_option
def trust(file: Path, trust: Path, name: str | None, as_json: bool) -> None:
    """Have a device take what the public key FILE signed. Run it on the device."""
    key = read_public(file)
    path = TrustStore(trust).trust(name or file.name.removesuffix(PUBLIC), key)
    if as_json:
        print_json("trust", {"name": path.stem, "key": key.hex(), "file": str(path)})
    say(f"{trust} trusts {path.stem} ({short_key(key)})")


@keys.command()
@click.argument("name")
@click.option("--trust", type=_TRUST, required=True, metavar="DIR", help=_TRUST_HELP)
@json_option
def revoke(name: str, trust: Path, as_json: bool) -> None:
    """Have a device take nothing any more that the key NAME signed, whatever its policy.

    What is stored and signed with it can no longer be used; what is active stays so until the next
    switch or start.
    """
    key = TrustStore(trust).revoke(name)
    if as_json:
        print_json("revoke", {"name": name, "key": key.hex()})
    say(f"{trust} refuses {name} ({short_key(key)}) from now on")
