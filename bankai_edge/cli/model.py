"""`bankai-edge model …`: what a model file is, and making one of random weights."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bankai_edge._facts import BF16, F16, F32, Q1_0
from bankai_edge.cli.output import json_option, print_fields, print_json, say
from bankai_edge.errors import UsageError

if TYPE_CHECKING:
    from bankai_edge import _engine
    from bankai_edge.shapes import ModelShape

TYPE_NAMES = {F32: "F32", F16: "F16", BF16: "BF16", Q1_0: "Q1_0"}


@click.group()
def model() -> None:
    """Show a model and its id; write one of random weights."""


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--ctx", type=click.IntRange(1), help="Context in tokens (default: at most 2048).")
@click.option("--threads", type=click.IntRange(1), help="Cores to compute with.")
@json_option
def info(file: Path, ctx: int | None, threads: int | None, as_json: bool) -> None:
    """Show what FILE (a GGUF) holds, the memory it needs, and how fast it can be here.

    The speed is a roof: measured read bandwidth over the bytes that each token must read.
    """
    from bankai_edge.bench.bandwidth import read_bandwidth
    from bankai_edge.defaults import CONTEXT
    from bankai_edge.model.kernels import choose_kernel, choose_threads
    from bankai_edge.model.memory import memory_need
    from bankai_edge.model.weights import open_core

    _, core = open_core(file)
    size = file.stat().st_size
    shape = core.shape
    threads = choose_threads(threads, size)
    kernel = choose_kernel()
    need = memory_need(core, size, kernel, ctx or min(shape["context"], CONTEXT), threads)
    bandwidth = read_bandwidth(threads, need.read_bytes)
    fields = {
        "file": str(file),
        "bytes": size,
        "name": core.name or file.stem,
        "id": core.id.hex(),
        "weights": sum(entry["weights"] for entry in _types(core).values()),
        "shape": shape,
        "types": _types(core),
        "memory": {**asdict(need), "total_bytes": need.total_bytes},
        "kernel": kernel,
        "threads": threads,
        "read_bandwidth_bytes_per_s": bandwidth,
        "tokens_per_s_roof": need.tokens_per_s(bandwidth),
        "tokens_per_s_roof_full_context": need.tokens_per_s(bandwidth, full=True),
    }
    if as_json:
        print_json("model-info", fields)
        return
    print_fields((key, fields[key]) for key in ("name", "id"))
    print_fields([("file", f"{size:,} bytes, {fields['weights']:,} weights")])
    print_fields((k, f"{v:,}" if isinstance(v, int) else f"{v:g}") for k, v in shape.items())
    print_fields(
        (name, f"{entry['tensors']} tensors, {entry['bytes']:,} bytes")
        for name, entry in _types(core).items()
    )
    packed = f"repacked for {kernel}" if need.packed_bytes else f"read as in the file by {kernel}"
    click.echo(f"memory     {_mib(need.total_bytes)} at a context of {need.ctx:,} tokens:")
    click.echo(f"  weights  {_mib(need.weight_bytes)}, {packed}")
    click.echo(f"  kv cache {_mib(need.kv_bytes)}")
    click.echo(f"  buffers  {_mib(need.buffer_bytes)}")
    click.echo(
        f"speed      at most {need.tokens_per_s(bandwidth):,.0f} tokens/s, "
        f"{need.tokens_per_s(bandwidth, full=True):,.0f} with the context full: "
        f"{bandwidth / 1e9:.1f} GB/s read with {threads} thread{'s' * (threads > 1)}"
    )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB"


def _types(core: _engine.Model) -> dict[str, dict[str, int]]:
    """Tensors, weights and bytes of each type."""
    types: dict[str, dict[str, int]] = {}
    for _, kind, dims, _, n_bytes in core.tensors():
        entry = types.setdefault(TYPE_NAMES[kind], {"tensors": 0, "weights": 0, "bytes": 0})
        entry["tensors"] += 1
        entry["weights"] += math.prod(dims)
        entry["bytes"] += n_bytes
    return types


@model.command("id")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def id_(file: Path, as_json: bool) -> None:
    """Print the model id that patches for FILE must name."""
    from bankai_edge.model.weights import open_core

    _, core = open_core(file)
    if as_json:
        print_json("model-id", {"file": str(file), "id": core.id.hex()})
    else:
        click.echo(core.id.hex())


PUBLISHED = ("bonsai-0.6b", "bonsai-1.7b", "bonsai-4b", "bonsai-8b")
_CUSTOM = {"layers": 4, "hidden": 512, "ffn": 1536, "heads": 8, "kv_heads": 2, "head_dim": 64,
           "rows": 2048, "context": 4096}  # fmt: skip


@model.command()
@click.option("--shape", type=click.Choice([*PUBLISHED, "custom"]), required=True,
              help="A published model's shape, or your own.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True,
              help="The same seed writes the same file.")  # fmt: skip
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
) -> ModelShape:
    from bankai_edge.shapes import ModelShape

    sizes = {**_CUSTOM, **own}
    rows = sizes.pop("rows")
    if vocab_from is not None and "rows" not in own:
        rows = 0  # as many as that file has
    return ModelShape("custom", vocab=rows, tied=not untied, yarn=yarn, **sizes)


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
