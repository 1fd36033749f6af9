"""Where the agent listens on sockets: unix, TCP and UDP."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankai_edge.agent.listeners import REOPEN_S, Answers, serve_line
from bankai_edge.errors import BankaiError
from bankai_edge.host.lines import socket_line

MAX_CONNECTIONS = 16  # of one listener; the next one closes the one that was silent longest
MAX_SENDERS = 256
FORGET_S = 10.0
HEADER_BYTES = 8
FRAME_START = 0x06
WRITE = 2


class _Connection:
    """One host's stream, and when it last said something."""

    def __init__(self, label: str, connection: socket.socket) -> None:
        self._socket = connection
        self.line = socket_line(label, connection)
        self.heard = time.monotonic()

    def hang_up(self) -> None:
        """End it from another thread: its own then reads the end, and closes it."""
        with contextlib.suppress(OSError):  # it may just have ended by itself
            self._socket.shutdown(socket.SHUT_RDWR)


class _HeardLine:
    """A connection's line for `serve_line`, which notes when bytes come."""

    def __init__(self, connection: _Connection, packets_only: bool) -> None:
        self._connection = connection
        self._unseen = packets_only

    def read(self, timeout_s: float) -> bytes:
        """Bytes from the host."""
        data = self._connection.line.read(timeout_s)
        self._connection.heard = time.monotonic()
        if self._unseen and data.strip(b"\r\n"):
            # A web page can make a browser send anything here, but behind a line of HTTP.
            if data.lstrip(b"\r\n")[0] != FRAME_START:
                raise BankaiError("a connection began with something else than a packet")
            self._unseen = False
        return data

    def write(self, data: bytes) -> None:
        """Bytes to the host."""
        self._connection.line.write(data)


class StreamListener:
    """Accepts connections and answers each in its own thread.

    `packets_only`: no line shell, and no answer to what does not begin with a packet.
    """

    def __init__(
        self, label: str, listening: socket.socket, answers: Answers, packets_only: bool = False
    ) -> None:
        self.label = label
        self._packets_only = packets_only
        self._socket = listening
        self._answers = answers
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._socket.listen()

    def serve(self) -> None:
        """Accept until closed."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._socket.fileno() < 0:
                    return
                time.sleep(REOPEN_S)  # out of descriptors: some host will hang up
                continue
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            new = _Connection(self.label, connection)
            with self._lock:
                if len(self._connections) >= MAX_CONNECTIONS:
                    min(self._connections, key=lambda c: c.heard).hang_up()
                self._connections.append(new)
            threading.Thread(target=self._answer, args=(new,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _answer(self, connection: _Connection) -> None:
        try:
            line = _HeardLine(connection, self._packets_only)
            serve_line(line, self._answers, shell=not self._packets_only)
        except BankaiError:
            pass  # the host hung up: nothing to say, the next one is welcome
        finally:
            with self._lock:
                self._connections.remove(connection)
            connection.line.close()


class UnixListener(StreamListener):
    """A unix stream socket that only this user may connect to."""

    def __init__(self, path: Path, answers: Answers) -> None:
        label = f"unix:{path}"
        self._path = path
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _clear_stale(path)
            mask = os.umask(0o177)
            try:
                listening.bind(str(path))
            finally:
                os.umask(mask)
            self._inode = path.stat().st_ino
        except OSError as error:
            listening.close()
            raise BankaiError(
                f"{label} cannot be opened: {error.strerror or error}",
                next_step="Name another place with --unix PATH (at most 107 characters).",
            ) from error
        super().__init__(label, listening, answers)

    def close(self) -> None:
        """Stop listening and remove the socket, when it is still ours."""
        super().close()
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            pass


class TcpListener(StreamListener):
    """A TCP port: the frames of a serial line, without a shell."""

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        listening = _bind("tcp", host, port, socket.SOCK_STREAM)
        self.scheme, self.host = "tcp", host
        self.port: int = listening.getsockname()[1]
        super().__init__(f"tcp://{host}:{self.port}", listening, answers, packets_only=True)


@dataclass
class _Sender:
    """The last request of one sender, and what it was answered."""

    sequence: int
    packet: bytes
    answer: bytes
    heard: float


class UdpListener:
    """One packet a datagram, answered to where it came from; a write is executed once.

    Networks repeat and delay datagrams: a late `use arith` must not undo the `use units` after it.
    """

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        self._answers = answers
        self._socket = _bind("udp", host, port, socket.SOCK_DGRAM)
        self.scheme, self.host = "udp", host
        self.port: int = self._socket.getsockname()[1]
        self.label = f"udp://{host}:{self.port}"
        self._senders: OrderedDict[Any, _Sender] = OrderedDict()

    def serve(self) -> None:
        """Answer datagrams."""
        while True:
            try:
                packet, sender = self._socket.recvfrom(65536)
            except ConnectionError:
                continue  # an earlier answer found nobody: that host is gone, not the socket
            except OSError:
                return
            answer = self.once(packet, sender)
            if answer:
                try:
                    self._socket.sendto(answer, sender)
                except OSError:
                    continue

    def once(self, packet: bytes, sender: Any) -> bytes:
        """Answer one datagram; b"" is silence, as for a write that comes too late."""
        if len(packet) < HEADER_BYTES:
            return b""
        now, sequence = time.monotonic(), packet[6]
        last = self._senders.get(sender)
        if last is not None and now - last.heard < FORGET_S:
            behind = (last.sequence - sequence) & 0xFF
            if packet[0] & 7 == WRITE:
                if packet == last.packet:
                    return last.answer
                if 0 < behind < 128:
                    return b""
            elif 0 < behind < 128:
                return self._answers.packet(packet)  # an old question changes nothing
        answer = self._answers.packet(packet)
        self._senders[sender] = _Sender(sequence, packet, answer, now)
        self._senders.move_to_end(sender)
        while len(self._senders) > MAX_SENDERS:
            self._senders.popitem(last=False)
        return answer

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _bind(scheme: str, host: str, port: int, kind: int) -> socket.socket:
    place = f"{scheme}://{host}:{port}"
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=kind, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            if kind == socket.SOCK_STREAM:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(target)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise BankaiError(
            f"{place} cannot be opened: {error.strerror}",
            next_step=f"Is another agent there? Name another port with --{scheme} HOST:PORT.",
        ) from error
    return bound


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
