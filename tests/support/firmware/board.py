"""A firmware that runs somewhere, with its UART on a pty; here: as a process of this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from bankai_edge._link import FrameReader, frame_encode
from bankai_edge.host.address import Address
from bankai_edge.host.client import Client
from bankai_edge.host.serial_port import open_serial
from bankai_edge.host.transports import open_transport
from support import ROOT
from support.compilers import missing

ANSWER_S = 30.0


def host_program(folder: Path, **options: Any) -> Path:
    """The firmware built with gcc into `folder`, with sanitizers; `options` are build.py's."""
    if shutil.which("gcc") is None:
        missing("gcc", "apt-get install gcc")
    place = ROOT / "firmware/ports/host/build.py"
    spec = importlib.util.spec_from_file_location("firmware_host_build", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Path(module.build(folder / "firmware", **options))


class Board(Protocol):
    """A board that hosts reach at `path`."""

    path: str
    keeps_store: bool  # without power

    def reset(self) -> None:
        """Reset the chip at once, whatever it does."""

    def power_cut(self) -> None:
        """Take its power away and give it back."""


class HostBoard:
    """The firmware as a process; its flash is a file."""

    keeps_store = True

    def __init__(
        self, program: Path, flash: Path, model: Path | None, *, hold: bool = True, **settings: Any
    ) -> None:
        """`settings` are port.c's, as in writable=1; without `hold` nobody keeps the pty open."""
        self._program = program
        self._controller, port = os.openpty()
        tty.setraw(port)
        self.path = os.ttyname(port)
        self._port = port if hold else os.close(port)
        self._environment = {
            **os.environ,
            "BK_FLASH": str(flash),
            "BK_FD": str(self._controller),
            **({"BK_MODEL": str(model)} if model else {}),
            **{f"BK_{key.upper()}": str(value) for key, value in settings.items()},
        }
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self, **settings: Any) -> None:
        """Give it power; `settings` hold for this start alone."""
        more = {f"BK_{key.upper()}": str(value) for key, value in settings.items()}
        self._process = subprocess.Popen(
            [self._program],
            env=self._environment | more,
            pass_fds=[self._controller],
            stderr=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> str:
        """Take its power away; returns what it wrote to stderr."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        _, said = self._process.communicate(timeout=20)
        assert self._process.returncode == -signal.SIGKILL, said
        self._process = None
        return said

    def power_cut(self) -> None:
        self.stop()
        self.start()

    reset = power_cut

    def __enter__(self) -> HostBoard:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self.stop()
        os.close(self._controller)
        if self._port is not None:
            os.close(self._port)


@contextmanager
def client_of(board: Board, **options: Any) -> Iterator[Client]:
    """A client on the board's line."""
    with Client(open_transport(Address("serial", board.path)), **options) as client:
        yield client


class Terminal:
    """A human at the board's line."""

    def __init__(self, board: Board) -> None:
        self._line = open_serial(board.path, 115200)
        self.seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def wait_for(self, pattern: str) -> str:
        """Read until the text read since the last call holds `pattern`; returns that text."""
        deadline = time.monotonic() + ANSWER_S
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.seen!r}"
            self.seen += self._line.read(0.05).decode(errors="replace")
        seen, self.seen = self.seen, ""
        return seen

    def type(self, text: str, until: str = r"\r\n") -> str:
        """Type a line; its answer, up to and including a match of `until`."""
        self._line.write(text.encode() + b"\r")
        return self.wait_for(until)


class Wire:
    """Packets and bytes on the board's line, without a client's patience."""

    def __init__(self, board: Board) -> None:
        self._line = open_serial(board.path, 115200)
        self._reader = FrameReader(65533)
        self.text = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._line.close()

    def send(self, data: bytes) -> None:
        self._line.write(data)

    def packets(self, enough: int, timeout_s: float) -> list[bytes]:
        """The packets that come until there are enough, or the time is up; text goes to `text`."""
        found: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < enough and time.monotonic() < deadline:
            found += self._read()
        return found

    def text_comes(self, timeout_s: float) -> bool:
        """Whether a line of text comes in time."""
        deadline = time.monotonic() + timeout_s
        while not self.text and time.monotonic() < deadline:
            self._read()
        return bool(self.text)

    def ask(self, packet: bytes, timeout_s: float = ANSWER_S) -> bytes:
        """A packet's answer; b"" for silence."""
        self.send(frame_encode(packet))
        found = self.packets(1, timeout_s)
        return found[0] if found else b""

    def _read(self) -> list[bytes]:
        found = []
        for kind, content in self._reader.feed(self._line.read(0.02)):
            if kind == "packet":
                found.append(content)
            else:
                self.text += content + b"\n"
        return found
