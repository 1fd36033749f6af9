"""`bankai-edge patch`: show, import, export, bind, sign and verify; see patch_sets too."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from bankai_edge._facts import PROJECTIONS
from bankai_edge.cli import patch_sets
from bankai_edge.cli.output import json_option, print_fields, print_json, say
from bankai_edge.durable import write_atomically
from bankai_edge.errors import SignatureError
from bankai_edge.patch import Patch, encode, files
from bankai_edge.patch import sign as signing
from bankai_edge.patch.bankai_json import plain
from bankai_edge.patch.bind import bind as bind_patch
from bankai_edge.patch.dialects import DIALECTS
from bankai_edge.patch.flips import Flip
from bankai_edge.patch.refusals import short_id

_IN = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_UNBOUND = "unbound (no model id, no CRC: bind it with `bankai-edge patch bind -m MODEL`)"
_DIALECT = click.option("--dialect", type=click.Choice(list(DIALECTS)),
                        default=next(iter(DIALECTS)), show_default=True,
                        help="Whose files they are.")  # fmt: skip


@click.group()
def patch() -> None:
    """Show, import, export, bind, compare, compose, sign and verify patch files (.bkp)."""


for _command in (patch_sets.diff, patch_sets.compose, patch_sets.stack_report):
    patch.add_command(_command)


@patch.command()
@click.argument("file", type=_IN)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show what a patch flips, which model it is for and where it comes from."""
    data = files.read_bytes(file)
    shown = files.read(file)
    key = signing.unwrap(data).public_key.hex() if signing.is_signed(data) else None
    if as_json:
        fields = {"file": str(file), "bytes": len(data), "signed_by": key, **_fields(shown)}
        print_json("patch", fields)
        return
    print_fields(_lines(shown, len(data)))
    if key:
        print_fields([("signed by", f"{key} (whose that is: bankai-edge patch verify)")])


@patch.command("import")
@click.argument("file", type=_IN)
@click.option("-o", "--output", required=True, type=_OUT, help="The .bkp to write.")
@click.option("-m", "--model", type=_IN, help="Bind the patch to this model (GGUF).")
@click.option("--name", help="The patch's name; otherwise the document's or the file's.")
@_DIALECT
@json_option
def import_(
    file: Path, output: Path, model: Path | None, name: str | None, dialect: str, as_json: bool
) -> None:
    """Import another program's patch (Bankai's JSON). Without a model it stays unbound."""
    imported = DIALECTS[dialect].read(files.read_bytes(file), file, name)
    _write(_bound(imported, model) if model else imported, output, as_json)


@patch.command()
@click.argument("file", type=_IN)
@click.option("-o", "--output", required=True, type=_OUT, help="The file to write.")
@_DIALECT
@json_option
def export(file: Path, output: Path, dialect: str, as_json: bool) -> None:
    """Export a patch for another program: the document it was imported from, or a new one."""
    exported = files.read(file)
    write_atomically(output, DIALECTS[dialect].write(exported))
    if as_json:
        print_json("export", {"file": str(output), "name": exported.name})
    say(f"Wrote {output}: {_count(exported)}")


@patch.command()
@click.argument("file", type=_IN)
@click.option("-m", "--model", required=True, type=_IN, help="The model (GGUF) it is made for.")
@click.option("-o", "--output", required=True, type=_OUT, help="The .bkp to write.")
@json_option
def bind(file: Path, model: Path, output: Path, as_json: bool) -> None:
    """Give a patch its model's id and the CRC of the rows that it flips."""
    _write(_bound(files.read(file), model), output, as_json)


@patch.command()
@click.argument("file", type=_IN)
@click.option(
    "--key",
    "-k",
    required=True,
    metavar="NAME|FILE",
    help="A key of `bankai-edge keys list`, or a private key in PEM.",
)
@click.option("-o", "--output", required=True, type=_OUT, help="The .bkp to write.")
@click.option(
    "--sequence",
    type=click.IntRange(0, 0xFFFFFFFF),
    help="Number this version: a device then takes no older one of that name.",
)
@json_option
def sign(file: Path, key: str, output: Path, sequence: int | None, as_json: bool) -> None:
    """Sign a patch, in place of any signature that it has."""
    from dataclasses import replace

    from bankai_edge.patch import keys

    private_key = keys.find_private(key)
    signed = files.read(file)
    if sequence is not None:
        signed = replace(signed, sequence=sequence)
    data = signing.sign(encode(signed), private_key)
    write_atomically(output, data)
    public_key = private_key.public_key().public_bytes_raw()
    if as_json:
        fields = {"file": str(output), "bytes": len(data), "signed_by": public_key.hex()}
        print_json("sign", {**fields, "name": signed.name, "sequence": signed.sequence})
    number = "" if signed.sequence is None else f", number {signed.sequence}"
    say(
        f"Wrote {output}: {len(data)} bytes, {signed.name}{number}, "
        f"signed by {signing.short_key(public_key)}"
    )


@patch.command()
@click.argument("file", type=_IN)
@click.option("--key", "-k", type=_IN, help="The public key (PEM) it has to be signed with.")
@click.option(
    "--trust",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Or: it has to be signed with a key of this directory.",
)
@json_option
def verify(file: Path, key: Path | None, trust: Path | None, as_json: bool) -> None:
    """Verify a patch's signature, and with --key or --trust whose it is (else exit 5)."""
    from bankai_edge.patch import keys

    data = files.read_bytes(file)
    if not signing.is_signed(data):
        raise SignatureError(
            f"{file} is not signed", next_step="Sign it with bankai-edge patch sign"
        )
    envelope = signing.unwrap(data, str(file))
    signing.verify(envelope, str(file))
    verified = files.read(file)
    signer = envelope.public_key
    trusted = keys.TrustStore(trust).trusted() if trust else {}
    names = [name for name, known in trusted.items() if known == signer]
    wanted = keys.read_public(key) if key else None
    if (trust and not names) or (wanted is not None and wanted != signer):
        raise SignatureError(
            f"{file} is signed by {signing.short_key(signer)}",
            expected=f"the key in {key}" if key else f"a key trusted in {trust}",
        )
    if as_json:
        fields = {"file": str(file), "signed_by": signer.hex(), "trusted_as": names}
        print_json("verify", {**fields, "name": verified.name, "sequence": verified.sequence})
        return
    click.echo(f"{verified.name}: signed by {signer.hex()}{f' ({names[0]})' if names else ''}")
    if not trust and not key:
        say("Whether that key is to be trusted was not asked: give --trust DIR or --key FILE")


def _bound(unbound: Patch, model: Path) -> Patch:
    from bankai_edge.model import Model  # NumPy and the engine: only when there is a model

    return bind_patch(unbound, Model(model))


def _write(written: Patch, output: Path, as_json: bool) -> None:
    data = encode(written)
    write_atomically(output, data)
    if as_json:
        print_json("patch", {"file": str(output), "bytes": len(data), **_fields(written)})
    model = f"bound to model {short_id(written.model_id)}" if written.model_id else _UNBOUND
    say(f"Wrote {output}: {len(data)} bytes, {_count(written)}, {model}")


def _count(counted: Patch) -> str:
    kinds = {"row": counted.rows, "group": counted.groups, "bit": counted.bits}
    return ", ".join(
        f"{len(flips)} {kind}{'s' if len(flips) != 1 else ''}"
        for kind, flips in kinds.items()
        if flips
    )


def _lines(shown: Patch, n_bytes: int) -> list[tuple[str, str]]:
    lines = [("name", shown.name)]
    if shown.domain:
        lines.append(("domain", shown.domain))
    lines.append(("model", short_id(shown.model_id) if shown.model_id else _UNBOUND))
    if shown.crc is not None:
        lines.append(("rows' CRC", f"{shown.crc:08x}"))
    lines.append(("flips", _count(shown)))
    lines.append(("where", _where([*shown.rows, *shown.groups, *shown.bits])))
    lines.append(("size", f"{n_bytes} bytes, {n_bytes / shown.n_flips:.2f} a flip"))
    if shown.sequence is not None:
        lines.append(("sequence", str(shown.sequence)))
    lines.extend(("canary", f"{prompt!r} -> {answer!r}") for prompt, answer in shown.canaries)
    origins = {dialect.ENTRY: dialect.origin for dialect in DIALECTS.values()}
    for key, value in shown.provenance.items():
        if key in origins:
            lines.append(("imported", origins[key](value)))
            continue
        text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
        lines.append((key, text))
    return lines


def _where(flips: list[Flip]) -> str:
    counts = Counter(PROJECTIONS[flip[1]] for flip in flips)
    layers = sorted({flip[0] for flip in flips})
    projections = ", ".join(f"{name} {counts[name]}" for name in PROJECTIONS if name in counts)
    return f"{projections}; layers {', '.join(map(str, layers))}"


def _fields(shown: Patch) -> dict[str, Any]:
    return {
        "name": shown.name,
        "domain": shown.domain,
        "bound": shown.bound,
        "model_id": shown.model_id.hex() if shown.model_id else None,
        "crc": shown.crc,
        "rows": [_named(flip) for flip in shown.rows],
        "groups": [_named(flip) for flip in shown.groups],
        "bits": [_named(flip) for flip in shown.bits],
        "canaries": [list(canary) for canary in shown.canaries],
        "sequence": shown.sequence,
        "provenance": plain(shown.provenance),
        "extensions": {str(key): plain(value) for key, value in shown.extensions.items()},
    }


def _named(flip: Flip) -> list[int | str]:
    return [flip[0], PROJECTIONS[flip[1]], *flip[2:]]
