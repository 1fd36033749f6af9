"""Groups of verbs that import a verb's file only when that verb runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group of `verbs`: name -> (module of bankai_edge.cli, attribute, one-line help).

    The help stands in the table so that `--help` imports nothing. A name with no module is a group
    of the verbs that begin with it and a space.
    """

    def __init__(
        self, *args: Any, verbs: Mapping[str, tuple[str, str, str]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return [verb for verb in self.verbs if " " not in verb]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb; None when there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, attribute, help_ = self.verbs[cmd_name]
        if not module:
            within = {k[len(cmd_name) + 1 :]: v for k, v in self.verbs.items()
                      if k.startswith(f"{cmd_name} ")}  # fmt: skip
            return LazyGroup(cmd_name, verbs=within, help=help_)
        command = getattr(importlib.import_module(f"bankai_edge.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs and their help."""
        rows = [(verb, self.verbs[verb][2]) for verb in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
