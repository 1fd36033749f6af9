"""`bankai-edge image install` and `rollback`: what `python3 site.bkb` does, from the command."""

from __future__ import annotations

from pathlib import Path

import click

from bankai_edge.cli.arguments import FILE
from bankai_edge.cli.output import json_option, print_json, say

_ROOT = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/"),
    metavar="DIR",
    help="The root of the system to change; default: this one's, /.",
)


@click.command()
@click.argument("file", type=FILE)
@_ROOT
@click.option(
    "--key",
    type=FILE,
    metavar="KEY.pub",
    help="The key that must have signed it. Default: those of the version that runs, if any.",
)
@json_option
def install(file: Path, root: Path, key: Path | None, as_json: bool) -> None:
    """Check a bundle, unpack it beside the version that runs, and switch to it at once.

    Nothing is changed before every check has passed; a power cut leaves the old version or the new
    one; the patches and keys on the device stay.
    """
    from bankai_edge.bundle import install as installing
    from bankai_edge.bundle.bootstrap import done, read_key
    from bankai_edge.bundle.container import Bundle

    with Bundle(file) as bundle:
        wanted = read_key(key) if key else None
        target = installing.Target.here(root)
        installed = installing.install(bundle, target, key=wanted, note=say)
    if as_json:
        fields = {"previous": installed.previous, "changed": installed.changed}
        print_json("installed", {"version": installed.version, **fields})
    say(done(installed, root))


@click.command()
@_ROOT
@json_option
def rollback(root: Path, as_json: bool) -> None:
    """Return to the version that ran before; once more returns to this one."""
    from bankai_edge.bundle import install as installing
    from bankai_edge.bundle.bootstrap import done

    installed = installing.rollback(root, note=say)
    if as_json:
        print_json("installed", {"version": installed.version, "previous": installed.previous})
    say(done(installed, root))
