"""Packets over a serial port, a unix socket or UDP, behind one small interface."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from bankai_edge._link import FrameReader, frame_encode
from bankai_edge.errors import BankaiError, DeviceTimeoutError, NoDeviceError
from bankai_edge.host.address import Address

WRITE_TIMEOUT_S = 5.0
MAX_PACKET_BYTES = 65533  # what the framing can carry


class Transport(Protocol):
    """One way to a device."""

    label: str

    @property
    def sent_bytes(self) -> int:
        """Bytes written to the wire, framing included."""

    @property
    def received_bytes(self) -> int:
        """Bytes read from the wire, framing included."""

    def send(self, packet: bytes) -> None:
        """Send one packet; raises NoDeviceError when the line is gone."""

    def receive(self, timeout_s: float) -> bytes | None:
        """Wait for one packet; None when none came. Raises NoDeviceError when the line is gone."""

    def close(self) -> None:
        """Give the port or socket back."""


class ByteLine:
    """Bytes through file descriptors, with timeouts. Both ends of the link use it.

    `close` is called once, by `close()`.
    """

    def __init__(
        self, label: str, read_fd: int, write_fd: int, close: Callable[[], object]
    ) -> None:
        self.label = label
        self.sent_bytes = 0
        self.received_bytes = 0
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._close = close

    def read(self, timeout_s: float) -> bytes:
        """Return what came within `timeout_s`, or b""; raises NoDeviceError when the line ended."""
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        try:
            if not poll.poll(max(0, round(timeout_s * 1000))):
                return b""
            data = os.read(self._read_fd, 65536)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(None)
        self.received_bytes += len(data)
        return data

    def write(self, data: bytes, timeout_s: float = WRITE_TIMEOUT_S) -> None:
        """Write all of `data`; raises NoDeviceError (line gone), DeviceTimeoutError (stuck)."""
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._write_fd, select.POLLOUT)
        view = memoryview(data)
        while view:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise DeviceTimeoutError(
                    f"{self.label} takes no bytes: {len(view)} of {len(data)} are still unsent",
                    next_step="Is the other end running?",
                )
            try:
                if poll.poll(round(left_s * 1000)):
                    written = os.write(self._write_fd, view)
                    self.sent_bytes += written
                    view = view[written:]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone(error) from error

    def close(self) -> None:
        """Close the descriptors."""
        self._close()

    def _gone(self, error: OSError | None) -> NoDeviceError:
        why = f": {error.strerror}" if error is not None and error.errno != errno.EIO else ""
        return NoDeviceError(
            f"{self.label} went away{why}",
            next_step="Check the cable and that the device is up, then run the command again.",
        )


class FramedTransport:
    """Packets in serial framing over a ByteLine; a human's text on the same line is skipped."""

    def __init__(self, line: ByteLine) -> None:
        self._line = line
        self._reader = FrameReader(MAX_PACKET_BYTES)
        self._packets: deque[bytes] = deque()
        self.label = line.label

    @property
    def sent_bytes(self) -> int:
        """Bytes written to the line."""
        return self._line.sent_bytes

    @property
    def received_bytes(self) -> int:
        """Bytes read from the line."""
        return self._line.received_bytes

    def send(self, packet: bytes) -> None:
        """Frame and write one packet."""
        self._line.write(frame_encode(packet))

    def receive(self, timeout_s: float) -> bytes | None:
        """Wait for one whole packet."""
        deadline = time.monotonic() + timeout_s
        while not self._packets:
            left_s = deadline - time.monotonic()
            data = self._line.read(max(0.0, left_s))
            for kind, content in self._reader.feed(data):
                if kind == "packet":
                    self._packets.append(content)
            if left_s <= 0 and not self._packets:
                return None
        return self._packets.popleft()

    def close(self) -> None:
        """Close the line."""
        self._line.close()


class UdpTransport:
    """One packet a datagram."""

    def __init__(self, address: Address) -> None:
        self.label = str(address)
        self.sent_bytes: int = 0
        self.received_bytes: int = 0
        try:
            family, kind, protocol, _, target = socket.getaddrinfo(
                address.place, address.port, type=socket.SOCK_DGRAM
            )[0]
        except OSError as error:
            raise NoDeviceError(
                f"{self.label}: {error.strerror}", next_step="Check the host name and the network."
            ) from error
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.connect(target)
        except OSError as error:
            self._socket.close()
            raise self._gone(error) from error

    def send(self, packet: bytes) -> None:
        """Send one datagram."""
        try:
            self.sent_bytes += self._socket.send(packet)
        except OSError as error:
            raise self._gone(error) from error

    def receive(self, timeout_s: float) -> bytes | None:
        """Wait for one datagram."""
        self._socket.settimeout(max(timeout_s, 0.001))
        try:
            packet = self._socket.recv(65536)
        except TimeoutError:
            return None
        except OSError as error:
            raise self._gone(error) from error
        self.received_bytes += len(packet)
        return packet

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _gone(self, error: OSError) -> NoDeviceError:
        if error.errno == errno.ECONNREFUSED:
            return NoDeviceError(
                f"nothing listens at {self.label}",
                next_step="Start it there: bankai-edge agent --udp HOST:PORT …",
            )
        return NoDeviceError(
            f"{self.label}: {error.strerror}", next_step="Check the network, then try again."
        )


def open_transport(address: Address) -> Transport:
    """Open the way to a device; raises NoDeviceError when there is none or it is busy."""
    if address.kind == "udp":
        return UdpTransport(address)
    if address.kind == "unix":
        return FramedTransport(open_unix(address.place))
    return FramedTransport(open_serial(address.place, address.baud))


def open_unix(path: str) -> ByteLine:
    """Connect to a unix stream socket; raises NoDeviceError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except (OSError, ValueError) as error:
        connection.close()
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise NoDeviceError(
            f"no agent answers at unix:{path}: {why}",
            next_step="Start one: bankai-edge agent --model MODEL --store DIR.",
        ) from error
    return socket_line(f"unix:{path}", connection)


def socket_line(label: str, connection: socket.socket) -> ByteLine:
    """A ByteLine over a connected stream socket, which it then owns."""
    connection.setblocking(False)
    return ByteLine(label, connection.fileno(), connection.fileno(), connection.close)


def open_serial(path: str, baud: int) -> ByteLine:
    """Open a serial port or pty: exclusively, raw, 8N1, no flow control, input flushed.

    Raises NoDeviceError that says why: absent, not a port, busy, not permitted.
    """
    # Imported here: a command that talks to a socket has no use for it.
    import serial

    try:
        if not stat.S_ISCHR(Path(path).stat().st_mode):
            raise NoDeviceError(f"{path} is not a serial port", expected="a character device")
        port = serial.Serial(path, baud, exclusive=True, timeout=0, write_timeout=0)
        port.reset_input_buffer()
    except FileNotFoundError as error:
        raise _absent(path) from error
    except (OSError, ValueError) as error:  # SerialException is an OSError
        raise _serial_error(path, baud, error) from error
    return ByteLine(path, port.fileno(), port.fileno(), port.close)


def serial_ports() -> list[Any]:
    """The serial ports that look like a device's: pyserial's ListPortInfo, sorted by path.

    Ports without hardware behind them (the PC's ttyS* phantoms) are left out.
    """
    from serial.tools import list_ports

    return sorted((p for p in list_ports.comports() if p.hwid != "n/a"), key=lambda p: p.device)


def _absent(path: str) -> NoDeviceError:
    seen = ", ".join(port.device for port in serial_ports()) or "none"
    return NoDeviceError(
        f"there is no {path}; serial ports seen: {seen}",
        next_step="Plug the device in, or name another with --device.",
    )


def _serial_error(path: str, baud: int, error: Exception) -> BankaiError:
    # pyserial keeps the errno in `errno`, or only in the text when its own flock failed.
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
        return NoDeviceError(
            f"{path} is busy: another program has it open",
            next_step="Close that program (a serial monitor?), then try again.",
        )
    if number in (errno.EACCES, errno.EPERM):
        return NoDeviceError(
            f"{path} may not be opened by this user",
            next_step="Join its group (often: sudo usermod -aG dialout $USER) and log in again.",
        )
    if number == errno.ENOENT:
        return _absent(path)
    return NoDeviceError(
        f"{path} cannot be opened at {baud} baud: {error}",
        next_step="Check that it is a serial port and takes that speed.",
    )
