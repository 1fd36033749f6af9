"""`bankai-edge run`: local inference, with or without patches."""

from __future__ import annotations

import time
from pathlib import Path

import click

from bankai_edge.cli.output import json_option, print_json, say


def read_patch(path: Path) -> bytes:
    """A bare .bkp's bytes, out of its envelope when it is signed; or one sentence why not."""
    from bankai_edge.patch import files

    return files.read_bare(path)


@click.command()
@click.option(
    "-m", "--model", "model_path", type=click.Path(path_type=Path),
    help="The GGUF to run (default: the nano model that ships with the package).",
)  # fmt: skip
@click.option("-p", "--prompt", required=True, help="The text to continue.")
@click.option(
    "--patch", "patches", type=click.Path(path_type=Path), multiple=True,
    help="A .bkp to apply; may repeat.",
)  # fmt: skip
@click.option("-n", "--max-tokens", type=click.IntRange(1), default=64, show_default=True)
@click.option("--ctx", type=click.IntRange(1), help="Context in tokens.")
@click.option(
    "--mode", type=click.Choice(["overlay", "in-place"]), default="overlay", show_default=True,
    help="How patches are applied; the text is the same.",
)  # fmt: skip
@click.option("--unbound", is_flag=True, help="Allow patches that name no model.")
@json_option
def run(
    model_path: Path | None,
    prompt: str,
    patches: tuple[Path, ...],
    max_tokens: int,
    ctx: int | None,
    mode: str,
    unbound: bool,
    as_json: bool,
) -> None:
    """Generate text greedily from a model."""
    from bankai_edge.model import Model, Session
    from bankai_edge.models import NANO

    in_place = mode == "in-place"
    model = Model(model_path or NANO, writable=in_place)
    session = Session(model, ctx=ctx, mode="in-place" if in_place else "overlay")
    switch_ns = 0
    if patches:
        switch_ns = session.use([read_patch(p) for p in patches], allow_unbound=unbound)
    start = time.perf_counter()
    pieces = []
    for piece in session.generate(prompt, max_tokens=max_tokens):
        pieces.append(piece)
        if not as_json:
            click.echo(piece, nl=False)
    seconds = time.perf_counter() - start
    if as_json:
        print_json(
            "run",
            {
                "model": model.name,
                "model_id": model.id.hex(),
                "patches": [str(p) for p in patches],
                "switch_us": switch_ns / 1000,
                "prompt": prompt,
                "text": "".join(pieces),
                "stop_reason": session.stop_reason,
                "seconds": seconds,
            },
        )
        return
    click.echo()
    if session.stop_reason == "context":
        say(f"stopped: the context of {session.ctx} tokens is full (raise --ctx)")
