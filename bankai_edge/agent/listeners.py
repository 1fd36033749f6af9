"""Where the agent listens: serial ports, unix sockets, UDP, its own stdin; one thread each."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from bankai_edge._link import FrameReader, frame_encode
from bankai_edge.errors import BankaiError
from bankai_edge.host.transports import ByteLine, open_serial, socket_line

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


def serve_line(line: ByteLine, answers: Answers) -> None:
    """Answer what comes over one line until it ends (raises NoDeviceError then)."""
    reader = FrameReader(MAX_PACKET_BYTES)
    while True:
        for kind, content in reader.feed(line.read(FOREVER_S)):
            if kind == "packet":
                answer = answers.packet(content)
                if answer:
                    line.write(frame_encode(answer))
            else:
                for piece in answers.shell(content.decode(errors="replace")):
                    line.write(piece.replace("\n", "\r\n").encode())


class SerialListener:
    """A serial port or pty, opened again whenever it comes back after going away."""

    def __init__(self, path: str, baud: int, answers: Answers, log: Callable[[str], None]) -> None:
        self.label = f"serial {path} at {baud} baud"
        self._path, self._baud = path, baud
        self._answers = answers
        self._log = log
        self._line = open_serial(path, baud)

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
                self._line = open_serial(self._path, self._baud)
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


class UnixListener:
    """A unix stream socket that only this user may connect to; one thread a connection."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self.label = f"unix:{path}"
        self._path = path
        self._answers = answers
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _clear_stale(path)
            mask = os.umask(0o177)
            try:
                self._socket.bind(str(path))
            finally:
                os.umask(mask)
            self._inode = path.stat().st_ino
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            raise BankaiError(
                f"{self.label} cannot be opened: {error.strerror or error}",
                next_step="Name another place with --unix PATH (at most 107 characters).",
            ) from error

    def serve(self) -> None:
        """Accept connections and answer each in its own thread."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._socket.fileno() < 0:
                    return
                time.sleep(REOPEN_S)  # out of descriptors: some host will hang up
                continue
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and remove the socket, when it is still ours."""
        self._socket.close()
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            pass

    def _answer(self, connection: socket.socket) -> None:
        line = socket_line(self.label, connection)
        try:
            serve_line(line, self._answers)
        except BankaiError:
            pass  # the host hung up: nothing to say, the next one is welcome
        finally:
            line.close()


class UdpListener:
    """One packet a datagram, answered to where it came from."""

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        self._answers = answers
        place = f"udp://{host}:{port}"
        try:
            family, kind, protocol, _, target = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
            )[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.bind(target)
        except OSError as error:
            raise BankaiError(
                f"{place} cannot be opened: {error.strerror}",
                next_step="Is another agent there? Name another port with --udp HOST:PORT.",
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self.label = f"udp://{host}:{self.port}"

    def serve(self) -> None:
        """Answer datagrams."""
        while True:
            try:
                packet, sender = self._socket.recvfrom(65536)
            except ConnectionError:
                continue  # an earlier answer found nobody: that host is gone, not the socket
            except OSError:
                return
            answer = self._answers.packet(packet)
            if answer:
                try:
                    self._socket.sendto(answer, sender)
                except OSError:
                    continue

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _clear_stale(path: Path) -> None:
    """Remove a socket that a dead agent left; raises BankaiError when a live one answers."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise BankaiError(
                f"{path} is there and is not a socket", next_step="Name another with --unix PATH."
            )
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(str(path))
    except ConnectionRefusedError:
        path.unlink()
    else:
        raise BankaiError(
            f"another agent answers at unix:{path}",
            next_step="Stop it, or name another place with --unix PATH.",
        )
    finally:
        probe.close()
