"""`bankai-edge model …`: what a model file is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from bankai_edge.cli.output import json_option, print_json

TYPE_NAMES = {0: "F32", 1: "F16", 30: "BF16", 41: "Q1_0"}


@click.group()
def model() -> None:
    """Show a model and its id."""


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def info(file: Path, as_json: bool) -> None:
    """Show the architecture, sizes and tensor types of FILE (a GGUF)."""
    from bankai_edge.model.weights import Model

    opened = Model(file)
    types: dict[str, dict[str, int]] = {}
    weights = 0
    for _, kind, dims, _, n_bytes in opened.core.tensors():
        entry = types.setdefault(TYPE_NAMES[kind], {"tensors": 0, "weights": 0, "bytes": 0})
        count = 1
        for dim in dims:
            count *= dim
        weights += count
        entry["tensors"] += 1
        entry["weights"] += count
        entry["bytes"] += n_bytes
    shape = asdict(opened.shape)
    if as_json:
        print_json(
            "model-info",
            {
                "file": str(file),
                "bytes": file.stat().st_size,
                "name": opened.name,
                "id": opened.id.hex(),
                "weights": weights,
                "shape": shape,
                "types": types,
            },
        )
        return
    click.echo(f"name      {opened.name}")
    click.echo(f"id        {opened.id.hex()}")
    click.echo(f"file      {file.stat().st_size:,} bytes, {weights:,} weights")
    for key, value in shape.items():
        click.echo(f"{key:<9} {value:,}" if isinstance(value, int) else f"{key:<9} {value:g}")
    for name, entry in types.items():
        click.echo(f"{name:<9} {entry['tensors']} tensors, {entry['bytes']:,} bytes")


@model.command("id")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def id_(file: Path, as_json: bool) -> None:
    """Print the model id that patches for FILE must name."""
    from bankai_edge.model.weights import Model

    opened = Model(file)
    if as_json:
        print_json("model-id", {"file": str(file), "id": opened.id.hex()})
    else:
        click.echo(opened.id.hex())
