"""Where this user's own files lie: the XDG base directories."""

from __future__ import annotations

import os
from pathlib import Path


def cache(name: str) -> Path:
    """A file or folder that can be made again: below $XDG_CACHE_HOME, else ~/.cache."""
    return _home("XDG_CACHE_HOME", ".cache") / name


def config(name: str) -> Path:
    """A file or folder that the user keeps: below $XDG_CONFIG_HOME, else ~/.config."""
    return _home("XDG_CONFIG_HOME", ".config") / name


def _home(variable: str, default: str) -> Path:
    named = os.environ.get(variable)
    return (Path(named).expanduser() if named else Path.home() / default) / "bankai-edge"
