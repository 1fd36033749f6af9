"""What a bundle does when Python runs it: `python3 site.bkb`, on a system that has nothing else."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bankai_edge.bundle import listing
from bankai_edge.bundle.container import Bundle
from bankai_edge.bundle.install import Installed, Target, install, rollback
from bankai_edge.bundle.startup import PROGRAM
from bankai_edge.bundle.versions import PREFIX
from bankai_edge.ed25519 import public_key_of_pem
from bankai_edge.errors import BankaiError, UsageError


def main(bundle: Path, arguments: list[str]) -> int:
    """Install the bundle, or what the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"python3 {bundle.name}",
        description="Install bankai-edge with its model and patches on this device, offline.",
    )
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR",
                        help="the root of the system to install into; default: /")  # fmt: skip
    parser.add_argument("--key", type=Path, metavar="FILE",
                        help="the public key (PEM) that must have signed this bundle")  # fmt: skip
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--inspect", action="store_true", help="only check it and show its contents")
    other.add_argument("--rollback", action="store_true",
                       help="return to the version that was run before")  # fmt: skip
    given = parser.parse_args(arguments)
    try:
        if given.rollback:
            say(done(rollback(given.root, note=say), given.root))
            return 0
        with Bundle(bundle) as opened:
            if given.inspect:
                opened.check()
                print("\n".join(listing.lines(opened)))
                return 0
            key = read_key(given.key) if given.key else None
            target = Target.here(given.root)
            say(done(install(opened, target, key=key, note=say), given.root))
        return 0
    except BankaiError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted; what was run before still is")
        return 2


def read_key(path: Path) -> bytes:
    """The 32 bytes of a public key in PEM; raises BankaiError."""
    try:
        key = public_key_of_pem(path.read_bytes().decode("latin-1"))
    except OSError as error:
        raise BankaiError(f"{path} cannot be read ({error.strerror})") from error
    if key is None:
        raise UsageError(f"{path} is no public key", expected="an Ed25519 public key in PEM")
    return key


def done(installed: Installed, root: Path) -> str:
    """What an install or a rollback came to, in a sentence."""
    if not installed.changed:
        return f"{installed.version} is installed already; nothing was changed"
    before = f"; before: {installed.previous}, to which rollback returns" * bool(installed.previous)
    command = root / PREFIX / "current" / PROGRAM
    return f"{installed.version} is run from now on{before}. The command: {command}"


def say(sentence: str) -> None:
    """Print a sentence to stderr."""
    print(f"bankai-edge: {sentence}", file=sys.stderr, flush=True)
