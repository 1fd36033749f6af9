"""The fleet file: names and tags for devices, so that `--device @kitchen` means one of them.

    [kitchen]
    device = "udp://kitchen.local"
    tags = ["home", "upstairs"]

`@kitchen` is that device, `@tag:upstairs` all with that tag, `@all` the whole file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bankai_edge import folders
from bankai_edge.errors import UsageError
from bankai_edge.host.address import parse_address

EXPECTED = '[NAME] with device = "ADDRESS" and, if wanted, tags = ["TAG", …]'


@dataclass(frozen=True)
class Member:
    """One device of a fleet. `address` is what `--device` takes."""

    name: str
    address: str
    tags: tuple[str, ...] = ()


def fleet_path() -> Path:
    """The file that BANKAI_FLEET names, else the user's own."""
    named = os.environ.get("BANKAI_FLEET")
    if named:
        return Path(named)
    return folders.config("fleet.toml")


def load_fleet(path: Path) -> list[Member]:
    """Every device of a fleet file, in its order; raises UsageError for what it cannot mean."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"the fleet file {path} cannot be read: {error.strerror}",
            expected=EXPECTED,
            next_step="Write one there, or name it with --fleet.",
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}", expected=EXPECTED) from error
    return [_member(path, name, entry) for name, entry in entries.items()]


def _member(path: Path, name: str, entry: object) -> Member:
    fields = {"device": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, dict):
        raise UsageError(f"{path}: {name} is no device", expected=EXPECTED)
    address, tags = fields.get("device"), fields.get("tags", [])
    known = set(fields) <= {"device", "tags"}
    if not isinstance(address, str) or not isinstance(tags, list) or not known:
        raise UsageError(f"{path}: {name} is no device", expected=EXPECTED)
    if name == "all" or name.startswith("tag:") or not all(isinstance(t, str) for t in tags):
        raise UsageError(f"{path}: {name} is no name or its tags are no texts", expected=EXPECTED)
    try:
        parse_address(address)
    except UsageError as error:
        raise UsageError(f"{path}: {name}: {error}") from error
    return Member(name, address, tuple(tags))


def members(word: str) -> list[Member]:
    """What `@NAME`, `@tag:TAG` or `@all` stands for; raises UsageError when for nothing."""
    path = fleet_path()
    fleet = load_fleet(path)
    wanted = word.removeprefix("@")
    if wanted == "all":
        found = fleet
    elif wanted.startswith("tag:"):
        found = [m for m in fleet if wanted.removeprefix("tag:") in m.tags]
    else:
        found = [m for m in fleet if m.name == wanted]
    if not found:
        have = [f"@{m.name}" for m in fleet]
        have += sorted({f"@tag:{tag}" for m in fleet for tag in m.tags})
        raise UsageError(f"{word} is not in {path}", expected=_one_of(have))
    return found


def _one_of(names: Iterable[str]) -> str:
    return "one of " + (", ".join(names) or "none: the file is empty")
