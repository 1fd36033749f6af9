"""`bankai-edge run`: local inference, with or without patches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bankai_edge.cli import generation
from bankai_edge.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from typing_extensions import Unpack


@click.command()
@generation.model_options
@click.option("-p", "--prompt", required=True, help="The text to continue.")
@click.option("-n", "--max-tokens", type=click.IntRange(1), default=64, show_default=True,
              help="Stop the text here.")  # fmt: skip
@generation.sampling_options
@click.option(
    "--mode", type=click.Choice(["overlay", "in-place"]), default="overlay", show_default=True,
    help="How patches are applied; the text is the same.",
)  # fmt: skip
@json_option
def run(
    model_path: Path | None,
    prompt: str,
    patches: tuple[Path, ...],
    max_tokens: int,
    ctx: int | None,
    mode: str,
    unbound: bool,
    stop: tuple[str, ...],
    as_json: bool,
    **sampling: Unpack[generation.SamplingArguments],
) -> None:
    """Continue a text; the likeliest token each time, unless --temperature says else."""
    from bankai_edge.model import Model, Session
    from bankai_edge.shipped import NANO

    sampler = generation.sampler_of(**sampling)
    in_place = mode == "in-place"
    model = Model(model_path or NANO, writable=in_place)
    session = Session(model, ctx=ctx, mode="in-place" if in_place else "overlay")
    switch_ns = 0
    if patches:
        switch_ns = session.use([generation.read_patch(p) for p in patches], allow_unbound=unbound)
    start = time.perf_counter()
    pieces = []
    for piece in session.generate(prompt, max_tokens=max_tokens, sampler=sampler, stop=stop):
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
                "seed": sampler.seed if sampling["temperature"] else None,
            },
        )
        return
    click.echo()
    if session.stop_reason == "context":
        say(f"stopped: the context of {session.ctx} tokens is full (raise --ctx)")
