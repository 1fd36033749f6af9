"""What all ports with a serial line have in common: a test's own end of it."""

from __future__ import annotations

from bankai_edge._link import frame_encode
from support.firmware.board import Board, Wire

SILENCE_S = 0.3
TEXT_S = 20.0
START_S, START_TRIES, LATE_S = 2.0, 20, 0.5
MARK = bytes.fromhex("0a00000a0000e900a161646578") + b"shell"  # an echo whose sequence is 0xe9


class LineDevice:
    """A board behind its line: `ports.OnLine`."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._wire: Wire | None = None

    @property
    def path(self) -> str:
        """Where hosts open it; the test's own end is closed by asking."""
        self.close()
        return self.board.path

    def close(self) -> None:
        """Leave the line to others."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    def packet(self, packet: bytes, /) -> bytes:
        """The answer to one packet; what is no request is answered by silence."""
        request = len(packet) >= 8 and not packet[0] & 1
        return self._open().ask(packet, *([] if request else [SILENCE_S]))

    def shell(self, line: str) -> str:
        """The text that answers a typed line."""
        wire = self._open()
        wire.text = b""
        wire.send(line.encode() + b"\r")
        wire.ask(MARK)
        if not wire.text:
            wire.text_comes(TEXT_S)
        return wire.text.decode()

    def stream(self, data: bytes, packets: int, lines: bool) -> tuple[list[bytes], str]:
        """Send bytes; so many packets that come, and text, if there is to be some."""
        wire = self._open()
        wire.text = b""
        wire.send(data)
        found = wire.packets(packets, TEXT_S)
        if lines:
            wire.text_comes(TEXT_S)
        return found, wire.text.decode()

    def send(self, packet: bytes) -> None:
        """Send a packet and await nothing."""
        self._open().send(frame_encode(packet))

    def reset(self) -> None:
        self.close()
        self.board.reset()

    def power_cut(self) -> None:
        self.close()
        self.board.power_cut()

    def _open(self) -> Wire:
        if self._wire is None:
            self._wire = Wire(self.board)
            self._wait(self._wire)
        return self._wire

    @staticmethod
    def _wait(wire: Wire) -> None:
        """Until it has started: what comes before that, a UART may lose."""
        asked = 1
        while not wire.ask(MARK, START_S):
            asked += 1
            assert asked < START_TRIES, "it does not start"
        wire.packets(asked - 1, LATE_S)
        wire.text = b""
