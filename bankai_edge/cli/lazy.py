"""Groups of verbs that import a verb's file only when that verb runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group of `verbs`: name -> (module of bankai_edge.cli, attribute, one-line help).

    The help stands in the table so that `--help` imports nothing.
    """

    def __init__(
        self, *args: Any, verbs: Mapping[str, tuple[str, str, str]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb; None when there is none of that name."""
        if cmd_name not in self.verbs:
            return None
        module, attribute, _ = self.verbs[cmd_name]
        command = getattr(importlib.import_module(f"bankai_edge.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs and their help."""
        rows = [(verb, help_) for verb, (_, _, help_) in self.verbs.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
