"""`bankai-edge chat`: a conversation on the terminal, or over a pipe, one line a message."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bankai_edge.cli import generation
from bankai_edge.cli.output import say
from bankai_edge.errors import BankaiError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from bankai_edge.model.chat import Chat

HELP = "/use FILE.bkp … switches patches, /off takes them away, /reset forgets, /quit ends"


@click.command()
@generation.model_options
@click.option("--system", help="What the model is told before the first message.")
@click.option(
    "-n",
    "--max-tokens",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="The longest answer.",
)
@generation.sampling_options
def chat(
    model_path: Path | None,
    patches: tuple[Path, ...],
    ctx: int | None,
    unbound: bool,
    system: str | None,
    max_tokens: int,
    stop: tuple[str, ...],
    **sampling: Unpack[generation.SamplingArguments],
) -> None:
    """Talk to a model: each line is a message, the answer is streamed.

    \b
    /use FILE.bkp …  switch to these patches between two messages
    /off             take all patches away
    /reset           forget what was said
    /quit            end (as the end of the input does)

    When the context is full, the oldest turns are dropped, and stderr says so.
    """
    from bankai_edge.model import Model, Session
    from bankai_edge.model.chat import Chat
    from bankai_edge.shipped import NANO

    sampler = generation.sampler_of(**sampling)
    session = Session(Model(model_path or NANO), ctx=ctx)
    talk = Chat(session, system)
    if patches:
        session.use([generation.read_patch(p) for p in patches], allow_unbound=unbound)
    if not talk.remembers:
        say(f"{session.model.name} has no chat template: each line is continued by itself")
        if system:
            raise UsageError("--system for a model without a chat template")
    if sys.stdin.isatty():
        say(HELP)

    def answer(text: str) -> None:
        _answer(talk, talk.say(text, max_tokens=max_tokens, sampler=sampler, stop=stop))

    for line in _lines():
        with _told():
            if not line.startswith("/"):
                answer(line)
            elif not _command(talk, line, unbound):
                return


def _lines() -> Iterator[str]:
    """Messages from stdin, without empty ones; with a prompt where a person types."""
    if sys.stdin.isatty():
        with suppress(ImportError):
            importlib.import_module("readline")  # line editing and history for input()
        lines: Iterator[str] = _typed()
    else:
        # bytes that are no text go through to the tokenizer as they are
        lines = (line.decode("utf-8", "surrogateescape") for line in sys.stdin.buffer)
    return (line.strip() for line in lines if line.strip())


def _typed() -> Iterator[str]:
    while True:
        try:
            yield input("> ")
        except EOFError:
            return


@contextmanager
def _told() -> Iterator[None]:
    """Errors of one line are told, and the conversation goes on."""
    try:
        yield
    except BankaiError as error:
        say(f"bankai-edge: {error}")


def _answer(talk: Chat, pieces: Generator[str, None, None]) -> None:
    """Print an answer as it comes; Ctrl-C ends the answer, not the conversation."""
    if talk.dropped:
        say(
            f"the context of {talk.session.ctx} tokens is full: "
            f"the oldest {talk.dropped} turns were dropped"
        )
    try:
        with closing(pieces):  # what was said until Ctrl-C is remembered
            for piece in pieces:
                click.echo(piece, nl=False)
    except KeyboardInterrupt:
        click.echo()
        return
    click.echo()
    reason = talk.session.stop_reason
    if reason == "context":
        say(f"stopped: the context of {talk.session.ctx} tokens is full (raise --ctx)")
    elif reason == "max_tokens":
        say("stopped: the answer is as long as --max-tokens allows")


def _command(talk: Chat, line: str, unbound: bool) -> bool:
    """Do what a line that starts with a slash asks; False to end."""
    try:
        name, *arguments = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{line!r} cannot be read ({error})") from None
    session = talk.session
    if name == "/quit":
        return False
    if name == "/reset":
        talk.reset()
        say("forgotten")
    elif name == "/off":
        session.use([])
        say("no patches active")
    elif name == "/use":
        if not arguments:
            raise UsageError("/use without a file", expected="/use FILE.bkp …")
        data = [generation.read_patch(Path(name)) for name in arguments]
        took_ns = session.use(data, allow_unbound=unbound)
        say(f"using {', '.join(arguments)} (switched in {took_ns / 1000:.0f} µs)")
    else:
        raise UsageError(f"no command {name}", expected=HELP)
    return True
