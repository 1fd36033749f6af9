"""Options that every verb shares which generates text here: the model, patches, sampling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from bankai_edge.cli.arguments import model_option

if TYPE_CHECKING:
    from bankai_edge.model.sampling import Sampler

F = TypeVar("F", bound=Callable[..., Any])


class SamplingArguments(TypedDict):
    """What `sampling_options` adds to a verb's parameters, except `stop`."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int | None


_SAMPLING = (
    click.option(
        "--temperature", type=click.FloatRange(0), default=0.0, show_default=True,
        help="0 takes the likeliest token; above, chance decides.",
    ),
    click.option("--top-k", type=click.IntRange(0), default=0, show_default=True,
                 help="Choose among the k likeliest tokens; 0 for all."),
    click.option("--top-p", type=click.FloatRange(0, 1), default=1.0, show_default=True,
                 help="Choose among the fewest that are likely together."),
    click.option("--min-p", type=click.FloatRange(0, 1), default=0.0, show_default=True,
                 help="Leave out what is less likely than this share of the likeliest."),
    click.option("--repeat-penalty", type=click.FloatRange(0, min_open=True), default=1.0,
                 show_default=True, help="Above 1, the last 64 tokens become less likely."),
    click.option("--seed", type=click.IntRange(0), help="Repeat a draw exactly."),
    click.option("--stop", multiple=True, help="End before this text; may repeat."),
)  # fmt: skip


def sampling_options(command: F) -> F:
    """Add the sampling options, in the order in which `--help` shall show them."""
    for option in reversed(_SAMPLING):
        command = option(command)
    return command


def model_options(command: F) -> F:
    """Add `-m`, `--patch`, `--ctx` and `--unbound` (model_path, patches, ctx, unbound)."""
    for option in (
        click.option("--unbound", is_flag=True, help="Allow patches that name no model."),
        click.option("--ctx", type=click.IntRange(1), help="Context in tokens."),
        click.option("--patch", "patches", type=click.Path(path_type=Path), multiple=True,
                     help="A .bkp to apply; may repeat."),
        model_option("run"),
    ):  # fmt: skip
        command = option(command)
    return command


def sampler_of(
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    repeat_penalty: float,
    seed: int | None,
) -> Sampler:
    """The sampler that the options ask for."""
    from bankai_edge.model.sampling import Sampler, Sampling

    sampling = Sampling(temperature, top_k, top_p, min_p, repeat_penalty)
    return Sampler(sampling, seed)


def read_patch(path: Path) -> bytes:
    """A bare .bkp's bytes, out of its envelope when it is signed; or one sentence why not."""
    from bankai_edge.patch import files

    return files.read_bare(path)
