"""The command line as a whole: every verb explains itself and answers in JSON."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from bankai_edge.cli.main import VERBS, bankai_edge

# What runs until it is stopped, or talks to a person, has no one JSON object to print.
NO_JSON = {("agent",), ("chat",)}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


LEAVES = sorted(leaves(bankai_edge))


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = bankai_edge
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_verb_has_help(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(bankai_edge, [*path, "--help"])
    assert done.exit_code == 0, done.output
    command = command_at(path)
    assert command.help and len(command.help.splitlines()[0]) > 15
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{' '.join(path)} {option.opts[0]} is not explained"


@pytest.mark.parametrize("path", [p for p in LEAVES if p not in NO_JSON], ids=" ".join)
def test_every_verb_answers_in_json(path: tuple[str, ...]) -> None:
    assert any("--json" in option.opts for option in command_at(path).params)


def test_the_list_of_verbs_is_the_list_of_commands() -> None:
    for verb, (_, _, help_) in VERBS.items():
        *group, name = verb.split()
        within = CliRunner().invoke(bankai_edge, [*group, "--help"]).output
        assert f"  {name} " in within and len(help_) > 15


def test_an_unknown_verb_is_a_usage_error() -> None:
    assert CliRunner().invoke(bankai_edge, ["fly"]).exit_code == 2
