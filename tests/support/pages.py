"""What the pages of docs/ hold that tests run again."""

from __future__ import annotations

import re

from support import ROOT


def sessions() -> dict[str, list[tuple[str, str]]]:
    """(command, expected) pairs of each section of docs/smpmgr.md."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section in (ROOT / "docs/smpmgr.md").read_text().split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        found[title] = re.findall(r"^    \$ (.*)\n    (.*)$", text, re.M)
    return found
