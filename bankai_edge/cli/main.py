"""`bankai-edge`: finds the verb, imports only its file, turns errors into exit codes."""

from __future__ import annotations

import os
import sys

import click

from bankai_edge import __version__
from bankai_edge.cli.lazy import LazyGroup
from bankai_edge.errors import BankaiError

# A new verb is a file and a line here: module, attribute, one-line help (see LazyGroup).
VERBS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "The whole story on this machine in under a minute."),
    "run": ("run", "run", "Generate text from a model, with or without patches."),
    "chat": ("chat", "chat", "Talk to a model, line by line."),
    "agent": ("agent", "agent", "Serve a model and its patch store: the device side."),
    "devices": ("device", "devices", "List the devices that answer."),
    "push": ("push", "push", "Send a patch to a device, and switch to it with --use."),
    "list": ("device", "list_patches", "List the patches in a device's store."),
    "use": ("device", "use", "Activate a set of stored patches, all or none."),
    "off": ("device", "off", "Deactivate every patch."),
    "rollback": ("device", "rollback", "Return to the previous active set."),
    "rm": ("device", "rm", "Remove a patch from a device's store."),
    "ask": ("device", "ask", "Ask the model on a device."),
    "info": ("device", "info", "Show what a device is and what it runs."),
    "verify": ("device", "verify", "Check a device's weights and stored patches."),
    "search": ("search", "search", "Find a patch that helps on held-out probes."),
    "patch": ("patch", "patch", "Show, import, export, bind, compare, compose, sign patches."),
    "keys": ("keys", "keys", "Make keys to sign patches with; choose which a device trusts."),
    "model": ("model", "model", "Show a model and its id; write one of random weights."),
    "eval": ("eval", "evaluate", "Judge patches: fixed, broken, perplexity, KL; HTML report."),
    "boards": ("boards", "boards", "List known boards, what fits there, expected speeds."),
    "bench": ("bench", "bench", "Measure bandwidth, kernels, tokens, switches and memory."),
    "image": ("", "", "Make, look into and install bundles and SD card images."),
    "image build": ("image_build", "build", "Make a bootable image for an empty SD card."),
    "image bundle": ("image_bundle", "bundle", "Make one file for a device that runs an OS."),
    "image inspect": ("image_bundle", "inspect", "Show what a bundle holds; check every byte."),
    "image install": ("image_install", "install", "Install a bundle on this device, offline."),
    "image rollback": ("image_install", "rollback", "Return to the version before."),
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="bankai-edge")
def bankai_edge() -> None:
    """Run 1-bit language models on the edge and switch them with kilobyte patches."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the code that the outcome stands for."""
    try:
        code = bankai_edge.main(args=argv, prog_name="bankai-edge", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("bankai-edge: interrupted", err=True)
        code = 2
    except BankaiError as error:
        click.echo(f"bankai-edge: {error}", err=True)
        code = error.exit_code
    except BrokenPipeError:
        # The reader of our stdout is gone: nothing is left to say, and nothing to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
