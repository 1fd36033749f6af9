"""The recorded sessions of docs/smpmgr.md, run again on whatever answers."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from bankai_edge.model import Model
from support import ROOT
from support.agents import bankai, make_patch


def sessions() -> dict[str, list[tuple[str, str]]]:
    """(command, expected) pairs of each section."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section in (ROOT / "docs/smpmgr.md").read_text().split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        found[title] = re.findall(r"^    \$ (.*)\n    (.*)$", text, re.M)
    return found


def repeat(
    title: str, model: Model, folder: Path, smpmgr: Callable[[Sequence[str]], str], **places: str
) -> int:
    """Run a section's commands in `folder`; `smpmgr` runs its own and says what was printed.

    `places` are what the page's serial port and host are here. Returns the number of commands.
    """
    patch = make_patch(model, "arith", range(0, 200, 2))
    (folder / "arith.bkp").write_bytes(patch)
    (folder / "notes.txt").write_text("buy milk")
    known = {"SIZE": str(len(patch)), "HASH": str(hashlib.sha256(patch).digest())}
    pairs = sessions()[title]
    for command, expected in pairs:
        here = command.replace("/dev/ttyUSB0", places.get("port", ""))
        program, *words = shlex.split(here.replace("192.0.2.7", places.get("host", "")))
        if program == "bankai-edge":
            done = bankai(*words)
            said = done.stdout + done.stderr
        else:
            said = smpmgr(words)
        for key, value in known.items():
            expected = expected.replace(key, value)
        seen, at = "".join(said.split()), 0
        for part in expected.split("…"):
            wanted = "".join(part.split())
            at = seen.find(wanted, at)
            assert at >= 0, f"{command}: no {part!r} in\n{said}"
            at += len(wanted)
    if title == "On a serial line":
        assert (folder / "back.bkp").read_bytes() == patch
    return len(pairs)
