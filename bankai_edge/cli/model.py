"""`bankai-edge model …`: what a model file is, and making one of random weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bankai_edge.cli.output import json_option, print_json, say
from bankai_edge.errors import UsageError

if TYPE_CHECKING:
    from bankai_edge.model.synth import SynthShape

TYPE_NAMES = {0: "F32", 1: "F16", 30: "BF16", 41: "Q1_0"}


@click.group()
def model() -> None:
    """Show a model and its id; write one of random weights."""


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


PUBLISHED = ("bonsai-0.6b", "bonsai-1.7b", "bonsai-4b", "bonsai-8b")
_CUSTOM = {"layers": 4, "hidden": 512, "ffn": 1536, "heads": 8, "kv_heads": 2, "head_dim": 64,
           "rows": 2048, "context": 4096}  # fmt: skip


@model.command()
@click.option("--shape", type=click.Choice([*PUBLISHED, "custom"]), required=True)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="The GGUF to write; an existing one is replaced.",
)  # fmt: skip
@click.option(
    "--vocab", "vocab_from", type=click.Path(path_type=Path),
    help="Copy the tokenizer of this GGUF instead of making one.",
)  # fmt: skip
@click.option("--layers", type=click.IntRange(1), help="Custom shape: layers.  [4]")
@click.option("--hidden", type=click.IntRange(128), help="Custom: embedding length.  [512]")
@click.option("--ffn", type=click.IntRange(128), help="Custom: feed-forward length.  [1536]")
@click.option("--heads", type=click.IntRange(1), help="Custom: query heads.  [8]")
@click.option("--kv-heads", type=click.IntRange(1), help="Custom: key/value heads.  [2]")
@click.option("--head-dim", type=click.IntRange(2), help="Custom: one head's length.  [64]")
@click.option("--rows", type=click.IntRange(1), help="Custom: vocabulary rows.  [2048]")
@click.option("--context", type=click.IntRange(1), help="Custom: context length.  [4096]")
@click.option("--untied", is_flag=True, help="Custom: a head of its own (output.weight).")
@click.option(
    "--yarn", type=(float, int), metavar="FACTOR ORIGINAL", help="Custom: YaRN rope scaling."
)
@json_option
def synth(
    shape: str,
    seed: int,
    output: Path,
    vocab_from: Path | None,
    untied: bool,
    yarn: tuple[float, int] | None,
    as_json: bool,
    **sizes: int | None,
) -> None:
    """Write a model of random weights: a published shape, or your own.

    The file depends on shape and seed only. It is for speed, memory and conformance; its text is
    noise.
    """
    from bankai_edge.model.synth import SHAPES, write_model

    own = {key: size for key, size in sizes.items() if size is not None}
    if shape != "custom" and (own or untied or yarn):
        raise UsageError(
            f"sizes of your own beside --shape {shape}", next_step="Use --shape custom"
        )
    chosen = SHAPES[shape] if shape in SHAPES else _custom_shape(own, untied, yarn, vocab_from)
    start = time.perf_counter()
    with _bar(output.name) as progress:
        n_bytes = write_model(output, chosen, seed, vocab_from=vocab_from, progress=progress)
    seconds = time.perf_counter() - start
    if as_json:
        fields = {"file": str(output), "shape": shape, "seed": seed, "bytes": n_bytes}
        print_json("model-synth", {**fields, "seconds": seconds})
    else:
        say(f"{output}: {n_bytes:,} bytes in {seconds:.1f} s")


def _custom_shape(
    own: dict[str, int], untied: bool, yarn: tuple[float, int] | None, vocab_from: Path | None
) -> SynthShape:
    from bankai_edge.model.synth import SynthShape

    sizes = {**_CUSTOM, **own}
    rows = sizes.pop("rows")
    if vocab_from is not None and "rows" not in own:
        rows = 0  # as many as that file has
    return SynthShape("custom", vocab=rows, tied=not untied, yarn=yarn, **sizes)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr if a person is watching there, else nothing."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
               TransferSpeedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=min(done, total), total=total)
