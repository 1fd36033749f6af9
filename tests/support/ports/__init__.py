"""What the device's tests ask of a port: tests/device/ runs on each one. A port is a file here.

What a port lacks is said by `can`, and a test that needs it is made for the others alone (`on`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bankai_edge.agent.limits import Policy

Ability = Literal[
    "clock",  # it knows the date
    "line",  # it has a serial line, at `path`
    "keeps",  # its store outlives the power
    "policy",  # it can be given keys, and told what signatures patches need
]
Mode = Literal["overlay", "in_place"]


@dataclass(frozen=True)
class Setting:
    """What a device starts with: an empty folder for its store, a model, and whom it trusts."""

    folder: Path
    model: Path
    policy: Policy = "open"
    trust: Path | None = None


class Running(Protocol):
    """A device that runs."""

    def packet(self, packet: bytes, /) -> bytes:
        """The answer to one packet; b"" is silence."""

    def shell(self, line: str) -> str:
        """The text that answers a typed line."""

    def reset(self) -> None:
        """Reset it at once, whatever it does."""

    def power_cut(self) -> None:
        """Take its power away and give it back."""


class OnLine(Running, Protocol):
    """A device with a serial line, which programs may open when the test does not use it."""

    @property
    def path(self) -> str:
        """Where hosts open it."""

    def send(self, packet: bytes) -> None:
        """Send a packet and await nothing."""

    def stream(self, data: bytes, packets: int, lines: bool) -> tuple[list[bytes], str]:
        """Send bytes; so many packets that come, and text, if there is to be some."""


@dataclass(frozen=True)
class Port:
    """One kind of device."""

    name: str
    start: Callable[[Setting], AbstractContextManager[Running]]
    mode: Mode
    can: frozenset[Ability]
    ctx: int = 48
    steps: int = 20  # of a random life: what it has the time for
