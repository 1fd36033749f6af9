"""Packets over a serial port, a stream or UDP, behind one small interface."""

from __future__ import annotations

import errno
import importlib
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from bankai_edge._link import FrameReader, frame_encode
from bankai_edge.errors import BankaiError, NoDeviceError
from bankai_edge.host.address import SCHEMES, Address
from bankai_edge.host.lines import ByteLine, socket_line
from bankai_edge.host.serial_port import SerialPlace

MAX_PACKET_BYTES = 65533  # what the framing can carry
CONNECT_TIMEOUT_S = 5.0
FOLLOW_S = 8.0  # how long a device that restarts or re-enumerates is waited for
LOOK_AGAIN_S = 0.1
UDP_RESEND_S = 0.25
UDP_PAYLOAD_BYTES = 1432  # fits an Ethernet frame, through a tunnel or two


class Transport(Protocol):
    """One way to a device."""

    label: str
    # Seconds after which an unanswered request is sent again, doubling; None: the whole timeout.
    resend_s: float | None
    # The far end executes a request once, however often it arrives.
    repeats_safely: bool
    # Bytes of the largest packet worth sending before the device is asked.
    packet_bytes: int

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

    def reopen(self) -> bool:
        """After the line went: wait for the device to come back. False: that is not to be hoped."""

    def close(self) -> None:
        """Give the port or socket back."""


class FramedTransport:
    """Packets in serial framing over a ByteLine; a human's text on the same line is skipped.

    `again` opens the line anew after it went away.
    """

    resend_s: float | None = None
    repeats_safely = False
    packet_bytes = MAX_PACKET_BYTES

    def __init__(self, line: ByteLine, again: Callable[[], ByteLine] | None = None) -> None:
        self._line = line
        self._again = again
        self._reader = FrameReader(MAX_PACKET_BYTES)
        self._packets: deque[bytes] = deque()
        self._before = [0, 0]  # bytes sent and received over lines that are gone
        self.label = line.label

    @property
    def sent_bytes(self) -> int:
        """Bytes written to the line."""
        return self._before[0] + self._line.sent_bytes

    @property
    def received_bytes(self) -> int:
        """Bytes read from the line."""
        return self._before[1] + self._line.received_bytes

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

    def reopen(self) -> bool:
        """Open the line again, once the device that had answered on it is back."""
        if self._again is None or not self.received_bytes:
            return False
        self._before = [self.sent_bytes, self.received_bytes]
        self._line.close()
        self._line.sent_bytes = self._line.received_bytes = 0
        deadline = time.monotonic() + FOLLOW_S
        while time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN_S)
            try:
                self._line = self._again()
            except BankaiError:
                continue
            self._reader.reset()
            self._packets.clear()
            self.label = self._line.label
            return True
        return False

    def close(self) -> None:
        """Close the line."""
        self._line.close()


class UdpTransport:
    """One packet a datagram."""

    resend_s: float | None = UDP_RESEND_S
    repeats_safely = True
    packet_bytes = UDP_PAYLOAD_BYTES

    def __init__(self, address: Address) -> None:
        self.label = str(address)
        self.sent_bytes: int = 0
        self.received_bytes: int = 0
        self._gone_since: float | None = None
        family, kind, protocol, target = resolve(address, socket.SOCK_DGRAM)
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
        self._gone_since = None
        return packet

    def reopen(self) -> bool:
        """Wait a moment: a device that had answered may be restarting."""
        if not self.received_bytes:
            return False
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        time.sleep(LOOK_AGAIN_S)
        return now - self._gone_since < FOLLOW_S

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
    module, _, function = SCHEMES[address.kind].opens.partition(":")
    opens = getattr(importlib.import_module(f"bankai_edge.host.{module}"), function)
    return cast(Transport, opens(address))


def over(line: Callable[[], ByteLine]) -> FramedTransport:
    """Packets over a line that is opened again in the same way."""
    return FramedTransport(line(), line)


def over_serial(address: Address) -> Transport:
    """Packets over a serial port, which is followed when it re-enumerates."""
    place = SerialPlace(address.place, address.baud)
    line = place.open()
    return FramedTransport(line, place.open if place.comes_back else None)


def over_tcp(address: Address) -> Transport:
    """Packets over a TCP connection."""
    return over(lambda: open_tcp(address))


def over_unix(address: Address) -> Transport:
    """Packets over a unix socket."""
    return over(lambda: open_unix(address.place))


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


def open_tcp(address: Address) -> ByteLine:
    """Connect to a TCP port, an agent's or a terminal server's; raises NoDeviceError."""
    label = str(address)
    family, kind, protocol, target = resolve(address, socket.SOCK_STREAM)
    connection = socket.socket(family, kind, protocol)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        connection.connect(target)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        connection.close()
        if error.errno == errno.ECONNREFUSED:
            raise NoDeviceError(
                f"nothing listens at {label}",
                next_step="Start it there: bankai-edge agent --tcp HOST:PORT …",
            ) from error
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror
        raise NoDeviceError(
            f"{label}: {why}", next_step="Check the address and the network."
        ) from error
    return socket_line(label, connection)


def resolve(address: Address, kind: int) -> tuple[int, int, int, tuple[object, ...]]:
    """Family, type, protocol and target of a host; raises NoDeviceError when it has none."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.place, address.port, type=kind
        )[0]
    except OSError as error:
        raise NoDeviceError(
            f"{address}: {error.strerror}", next_step="Check the host name and the network."
        ) from error
    return family, kind, protocol, target
