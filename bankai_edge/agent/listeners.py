"""Where the agent listens, one thread each: serial ports, its own stdin; sockets in network.py."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from bankai_edge._link import FrameReader, frame_encode
from bankai_edge.errors import BankaiError
from bankai_edge.host.lines import ByteLine
from bankai_edge.host.serial_port import SerialPlace

REOPEN_S = 0.5
FOREVER_S = 86400.0
MAX_PACKET_BYTES = 4096


class Answers(Protocol):
    """What answers: packets for programs, lines of text for a human on the same wire."""

    def packet(self, packet: bytes) -> bytes:
        """Answer one SMP packet; b"" is silence."""

    def shell(self, line: str) -> Iterator[str]:
        """Answer one typed line, piece by piece."""


class Listener(Protocol):
    """A place where hosts reach this agent. Opening it is the constructor's work."""

    label: str

    def serve(self) -> None:
        """Answer until the process ends; returns only when the place is gone for good."""

    def close(self) -> None:
        """Give the place back."""


class Line(Protocol):
    """Bytes to and from one host; both raise a BankaiError when it is gone."""

    def read(self, timeout_s: float) -> bytes:
        """What came, or b"" after `timeout_s`."""

    def write(self, data: bytes) -> None:
        """Send all of `data`."""


def serve_line(line: Line, answers: Answers, *, shell: bool = True) -> None:
    """Answer what comes over one line until it ends (raises NoDeviceError then).

    Without `shell`, only packets are answered.
    """
    reader = FrameReader(MAX_PACKET_BYTES)
    while True:
        for kind, content in reader.feed(line.read(FOREVER_S)):
            if kind == "packet":
                answer = answers.packet(content)
                if answer:
                    line.write(frame_encode(answer))
            elif shell:
                for piece in answers.shell(content.decode(errors="replace")):
                    line.write(piece.replace("\n", "\r\n").encode())


class SerialListener:
    """A serial port or pty, opened again whenever it comes back after going away.

    `path` may be `usb:` and a USB serial number; a USB port is found again under any path.
    """

    def __init__(self, path: str, baud: int, answers: Answers, log: Callable[[str], None]) -> None:
        self.label = f"serial {path} at {baud} baud"
        self._path = path
        self._place = SerialPlace(path.removeprefix("serial:"), baud)
        self._answers = answers
        self._log = log
        self._line = self._place.open()

    def serve(self) -> None:
        """Answer on the port; when it goes away, wait for it to return."""
        while True:
            try:
                serve_line(self._line, self._answers)
            except BankaiError as error:
                self._log(str(error))
            self._line.close()
            self._reopen()

    def close(self) -> None:
        """Close the port."""
        self._line.close()

    def _reopen(self) -> None:
        while True:
            time.sleep(REOPEN_S)
            try:
                self._line = self._place.open()
            except BankaiError:
                continue
            self._log(f"{self._path} is back")
            return


class StdioListener:
    """The process's own stdin and stdout, as when a remote shell starts the agent."""

    label = "stdio"

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._line = ByteLine("stdio", sys.stdin.fileno(), sys.stdout.fileno(), lambda: None)

    def serve(self) -> None:
        """Answer until stdin ends."""
        try:
            serve_line(self._line, self._answers)
        except BankaiError:
            return

    def close(self) -> None:
        """Leave stdin and stdout to the process."""
